//! Opening a WebSocket: TCP without delay, TLS by rustls with ring and the roots that come with the binary.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::{Error, MAX_MESSAGE};
use crate::sources::rest::retry_after;
use crate::venues::plan::{Link, Topic};

/// An open WebSocket.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The longest that a venue may ask to be left alone for.
const MOST_RETRY_AFTER: Duration = Duration::from_mins(10);

/// An attempt that failed. The words may hold secrets.
pub(super) struct Failed {
    pub(super) detail: String,
    /// The venue asked to be left alone for this long.
    pub(super) retry_after: Option<Duration>,
}

impl Failed {
    fn new(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            retry_after: None,
        }
    }
}

/// How TLS is spoken: the ring provider, named because a process may hold several.
///
/// # Errors
/// When the provider lacks what rustls takes for safe.
pub fn tls() -> Result<Arc<rustls::ClientConfig>, Error> {
    let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Tls { source })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Opens a connection for `topics`.
pub(super) async fn open(
    link: &Link,
    topics: &[Topic],
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
) -> Result<Socket, Failed> {
    let request = request(link, topics)?;
    tokio::time::timeout(timeout, handshake(request, tls))
        .await
        .map_err(|_| Failed::new(format!("no connection within {} s", timeout.as_secs_f64())))?
}

fn request(link: &Link, topics: &[Topic]) -> Result<Request<()>, Failed> {
    let failed = |error: &dyn std::fmt::Display| Failed::new(error.to_string());
    let url = link.url(topics).map_err(|e| failed(&e))?;
    let mut request = url.expose().into_client_request().map_err(|e| failed(&e))?;
    for (name, value) in link.headers().map_err(|e| failed(&e))? {
        let header: HeaderName = name.parse().map_err(|e| failed(&e))?;
        let mut value: HeaderValue = value.expose().parse().map_err(|e| failed(&e))?;
        value.set_sensitive(true);
        request.headers_mut().insert(header, value);
    }
    Ok(request)
}

async fn handshake(request: Request<()>, tls: Arc<rustls::ClientConfig>) -> Result<Socket, Failed> {
    let uri = request.uri();
    let host = uri.host().unwrap_or_default().to_owned();
    let secure = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((bare, port))
        .await
        .map_err(|error| Failed::new(format!("cannot connect to {host}:{port}: {error}")))?;
    socket
        .set_nodelay(true)
        .map_err(|error| Failed::new(format!("cannot set up the connection to {host}: {error}")))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let connector = if secure {
        Connector::Rustls(tls)
    } else {
        Connector::Plain
    };
    match client_async_tls_with_config(request, socket, Some(config), Some(connector)).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(Failed {
            detail: format!("{host} answered with HTTP status {}", response.status()),
            retry_after: response
                .headers()
                .get("retry-after")
                .and_then(|value| retry_after(value.to_str().ok()?, jiff::Timestamp::now()))
                .map(|wait| wait.min(MOST_RETRY_AFTER)),
        }),
        Err(error) => Err(Failed::new(format!(
            "handshake with {host} failed: {error}"
        ))),
    }
}
