//! Requests to a venue's REST side, against a server on this machine that answers what each test tells it to.

use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use mdb::config::secrets::{Secret, Secrets};
use mdb::model::frame::{Frame, Message};
use mdb::sources::rest::{Client, Error, Fetched, Query};
use mdb::venues::feed::Rest;
use tokio::sync::mpsc;

const KEY: &str = "k3y-that-nobody-may-see/+";

/// An answer of the server.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Status, and a body.
    Says(u16, String),
    /// The same, and when to come back.
    Later(u16, &'static str),
    /// A body that ends in the middle.
    Breaks,
    /// Nothing at all.
    Hangs,
    /// A gzip body of this many zeros.
    Zeros(usize),
    /// Another address.
    Moved(String),
}

pub(crate) fn ok(body: &str) -> Answer {
    Answer::Says(200, body.to_owned())
}

/// What the server was asked.
#[derive(Clone)]
struct Asked {
    at: Instant,
    uri: String,
    header: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The next one last; the first one stays.
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Server {
    /// `ADDRESS` in an answer becomes the server's own.
    pub(crate) async fn start(answers: &[Answer]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut answers = answers.to_vec();
        answers.reverse();
        let server = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
            answers: Arc::new(Mutex::new(answers)),
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn uris(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.uri).collect()
    }

    /// A client of this server; `toml` is the rest of `[rest]`.
    fn client(&self, toml: &str) -> Client {
        let rest: Rest = toml::from_str(&format!("url = '{}'\n{toml}", self.base)).unwrap();
        let secrets = Secrets::new([("key".to_owned(), Secret::new(KEY))]);
        Client::new("some_venue", &rest, None, &secrets).unwrap()
    }

    /// Makes the request `r` of `toml`: what it says, and what it handed over.
    async fn fetch(&self, toml: &str, query: &Query) -> (Result<Fetched, Error>, Vec<Frame>) {
        fetch(&self.client(toml), query).await
    }
}

async fn fetch(client: &Client, query: &Query) -> (Result<Fetched, Error>, Vec<Frame>) {
    let (to, mut from) = mpsc::channel(100);
    let fetched = client.fetch("r", query, &to).await;
    drop(to);
    let mut frames = Vec::new();
    while let Some(message) = from.recv().await {
        if let Message::Frame(frame) = message {
            frames.push(frame);
        }
    }
    (fetched, frames)
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let header = request.headers().get("x-key");
    server.asked.lock().unwrap().push(Asked {
        at: Instant::now(),
        uri: request.uri().to_string(),
        header: header.map(|value| value.to_str().unwrap().to_owned()),
    });
    let answer = {
        let mut answers = server.answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop().unwrap()
        } else {
            answers[0].clone()
        }
    };
    let status = |status: u16| axum::http::StatusCode::from_u16(status).unwrap();
    match answer {
        Answer::Says(code, body) => {
            (status(code), body.replace("ADDRESS", &server.base)).into_response()
        }
        Answer::Later(code, wait) => {
            (status(code), [(RETRY_AFTER, wait)], "slow down").into_response()
        }
        Answer::Breaks => {
            let parts = [Ok("{\"half\":".to_owned()), Err("broken")];
            Body::from_stream(futures_util::stream::iter(parts)).into_response()
        }
        Answer::Hangs => std::future::pending::<Result<Response, Infallible>>()
            .await
            .unwrap(),
        Answer::Zeros(count) => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&vec![b'0'; count]).unwrap();
            ([(CONTENT_ENCODING, "gzip")], gzip.finish().unwrap()).into_response()
        }
        Answer::Moved(to) => axum::response::Redirect::temporary(&to).into_response(),
    }
}

/// A request without pages.
const ONE: &str = "[requests.r]\npath = '/one?symbol={{ symbol }}'\ntable = 'trades'\n";

fn of(symbol: &str) -> Query {
    Query {
        symbol: Some(Arc::from(symbol)),
        ..Query::default()
    }
}

fn payloads(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.payload.as_str()).collect()
}

#[tokio::test]
async fn a_body_is_one_frame_verbatim() {
    let server = Server::start(&[ok(" {\"any\": [thing]} \n")]).await;
    let before = std::time::SystemTime::now();
    let (fetched, frames) = server.fetch(ONE, &of("AB/C")).await;
    let expected = Fetched {
        pages: 1,
        complete: true,
        ..Fetched::default()
    };
    assert_eq!(fetched.unwrap(), expected);
    assert_eq!(server.uris(), ["/one?symbol=AB/C"]);
    let [frame] = &frames[..] else {
        panic!("{frames:?}")
    };
    assert_eq!(frame.payload, " {\"any\": [thing]} \n");
    assert_eq!((&*frame.venue, &*frame.channel), ("some_venue", "rest/r"));
    assert_eq!(frame.symbol.as_deref(), Some("AB/C"));
    let since = before.duration_since(std::time::UNIX_EPOCH).unwrap();
    let delay_ns = i128::from(frame.recv_ns) - since.as_nanos() as i128;
    assert!((0..10_000_000_000).contains(&delay_ns), "{delay_ns}");
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let toml = format!("timeout = '300 ms'\n{ONE}");
    for (first, requests, at_least_ms) in [
        (Answer::Later(429, "1"), 2, 1000),
        (Answer::Later(418, "0"), 2, 0),
        // Of a firewall, which has had too many.
        (Answer::Later(403, "1"), 2, 1000),
        (
            Answer::Says(403, "<html>\n<title>403 Forbidden</title>".to_owned()),
            2,
            100,
        ),
        (Answer::Says(500, String::new()), 2, 100),
        (Answer::Says(503, String::new()), 2, 100),
        (Answer::Breaks, 2, 100),
        (Answer::Hangs, 2, 400),
        (ok("<html>back soon</html>"), 2, 100),
        (ok("[{\"half\":"), 2, 100),
        (ok(""), 2, 100),
    ] {
        let server = Server::start(&[first, ok("fine")]).await;
        let start = Instant::now();
        let (fetched, frames) = server.fetch(&toml, &of("A")).await;
        assert_eq!(fetched.unwrap().pages, 1);
        assert_eq!(payloads(&frames), ["fine"]);
        assert_eq!(server.asked().len(), requests);
        assert!(start.elapsed() >= Duration::from_millis(at_least_ms));
    }
}

#[tokio::test]
async fn what_stays_wrong_is_given_up_and_what_is_refused_is_not_repeated() {
    let server = Server::start(&[Answer::Says(502, "<b>no\ngateway</b>".into())]).await;
    let (error, frames) = server
        .fetch(&format!("attempts = 2\n{ONE}"), &of("A"))
        .await;
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "some_venue r of A: given up after 2 attempts; the last one: status 502: <b>no gateway</b>"
    );
    assert!(!error.is_final() && frames.is_empty());
    assert_eq!(server.asked().len(), 2);

    // A 403 in the venue's own form is about what was asked, or the key.
    let forbidden = r#"{"message":"forbidden."}"#.to_owned();
    let server = Server::start(&[Answer::Says(403, forbidden)]).await;
    let (error, _) = server.fetch(ONE, &of("A")).await;
    assert!(error.unwrap_err().is_final());
    assert_eq!(server.asked().len(), 1);

    let server = Server::start(&[Answer::Says(404, "x".repeat(300))]).await;
    let (error, frames) = server.fetch(ONE, &of("A")).await;
    let error = error.unwrap_err();
    let expected = format!(
        "some_venue r of A: refused with status 404: {}…",
        "x".repeat(200)
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.is_final() && frames.is_empty());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_long_silence_is_an_error_and_kept() {
    let server = Server::start(&[Answer::Later(429, "3600"), ok("fine")]).await;
    let client = server.client(ONE);
    for _ in 0..2 {
        let (error, _) = fetch(&client, &of("A")).await;
        let Err(Error::Later { wait, .. }) = error else {
            panic!("{error:?}")
        };
        assert!((3590..=3600).contains(&wait.as_secs()), "{wait:?}");
    }
    assert_eq!(server.asked().len(), 1, "the venue was not asked again");
}

#[tokio::test]
async fn errors_of_status_200_are_errors() {
    let toml = format!(
        "{ONE}[[error]]\nmatch = {{ '/Note' = '*' }}\nretry_after = '200 ms'\n\
         [[error]]\nmatch = {{ '/status' = 'ERROR' }}\n"
    );
    let server = Server::start(&[ok("{\"Note\":\"quota\"}"), ok("{\"status\":\"OK\"}")]).await;
    let start = Instant::now();
    let (fetched, frames) = server.fetch(&toml, &of("A")).await;
    assert_eq!(
        (fetched.unwrap().pages, payloads(&frames)),
        (1, vec!["{\"status\":\"OK\"}"])
    );
    assert!(start.elapsed() >= Duration::from_millis(200));

    let server = Server::start(&[ok("{\"status\":\"ERROR\",\"error\":\"bad\"}")]).await;
    let (error, frames) = server.fetch(&toml, &of("A")).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("\"error\":\"bad\"") && frames.is_empty(),
        "{error}"
    );
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn pages_by_address_keep_the_keys_and_the_host() {
    let toml = "[headers]\nx-key = '{{ secret.key }}'\n\
        [requests.r]\npath = '/v3/{{ symbol }}?limit=2&apiKey={{ secret.key }}'\ntable = 'trades'\n\
        [requests.r.page]\nnext_url = '/next_url'\nrecords = '/results'\n";
    let server = Server::start(&[
        ok(r#"{"results":[1,2],"next_url":"ADDRESS/v3/A?cursor=x"}"#),
        ok(r#"{"results":[3],"next_url":"/v3/A?cursor=y&apiKey=theirs"}"#),
        ok(r#"{"results":[]}"#),
    ])
    .await;
    let (fetched, frames) = server.fetch(toml, &of("A")).await;
    let fetched = fetched.unwrap();
    assert_eq!(
        (fetched.pages, fetched.records, fetched.complete),
        (3, 3, true)
    );
    assert_eq!(frames.len(), 3);
    let asked = server.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.header.as_deref() == Some(KEY))
    );
    assert!(
        asked[1].uri.starts_with("/v3/A?cursor=x&apiKey=k3y-that"),
        "{}",
        asked[1].uri
    );
    assert_eq!(asked[2].uri, "/v3/A?cursor=y&apiKey=theirs");

    let other = Server::start(&[ok("{}")]).await;
    for to in [
        format!("{}/v3/A", other.base),
        "https://127.0.0.1/x".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let server = Server::start(&[ok(&format!(r#"{{"results":[1],"next_url":"{to}"}}"#))]).await;
        let (error, frames) = server.fetch(toml, &of("A")).await;
        assert!(matches!(error, Err(Error::OtherHost { .. })), "{error:?}");
        assert_eq!(frames.len(), 1, "the first page is good");
    }
    let server = Server::start(&[Answer::Moved(format!("{}/v3/A", other.base))]).await;
    let (error, _) = server.fetch(toml, &of("A")).await;
    assert!(
        matches!(error, Err(Error::Refused { status: 307, .. })),
        "{error:?}"
    );
    assert!(other.asked().is_empty(), "nothing goes to another host");
}

#[tokio::test]
async fn pages_by_token_id_and_time() {
    let token = "[requests.r]\npath = '/t?s={{ symbol }}{% if token is defined %}&page={{ token }}{% endif %}'\ntable = 'trades'\n\
        [requests.r.page]\ntoken = '/next'\nrecords = '/trades'\n";
    let server = Server::start(&[
        ok(r#"{"trades":[1],"next":"b"}"#),
        ok(r#"{"trades":[1],"next":null}"#),
    ])
    .await;
    let (fetched, _) = server.fetch(token, &of("A")).await;
    assert_eq!(fetched.unwrap().records, 2);
    assert_eq!(server.uris(), ["/t?s=A", "/t?s=A&page=b"]);

    let id = "[requests.r]\npath = '/t?from={{ from_id }}'\ntable = 'trades'\n[requests.r.page]\nid = '/i'\nfull = 2\n";
    let server = Server::start(&[ok(r#"[{"i":5},{"i":6}]"#), ok(r#"[{"i":7}]"#)]).await;
    let from = Query {
        from_id: Some(5),
        ..of("A")
    };
    let (fetched, _) = server.fetch(id, &from).await;
    let fetched = fetched.unwrap();
    assert_eq!((fetched.records, fetched.last_id), (3, Some(7)));
    assert_eq!(server.uris(), ["/t?from=5", "/t?from=7"]);

    let time = "[requests.r]\npath = '/t?from={{ from_ms }}&at={{ from_time }}&to={{ to_ns }}'\ntable = 'trades'\n\
        [requests.r.page]\ntime = '/t'\nfull = 2\nrecords = '/r'\n";
    let two = r#"{"r":[{"t":"1970-01-01T00:00:02Z"},{"t":"1970-01-01T00:00:02.5Z"}]}"#;
    let server = Server::start(&[ok(two), ok(r#"{"r":[]}"#)]).await;
    let from = Query {
        from_ns: Some(1_000_000_000),
        to_ns: Some(9_000_000_000),
        ..of("A")
    };
    let (fetched, _) = server.fetch(time, &from).await;
    assert_eq!(fetched.unwrap().last_ns, Some(2_500_000_000));
    assert_eq!(
        server.uris(),
        [
            "/t?from=1000&at=1970-01-01T00:00:01Z&to=9000000000",
            "/t?from=2500&at=1970-01-01T00:00:02.5Z&to=9000000000"
        ]
    );
}

#[tokio::test]
async fn pages_that_do_not_get_on_end() {
    let id = "[requests.r]\npath = '/t?from={{ from_id }}'\ntable = 'trades'\n[requests.r.page]\nid = '/i'\nfull = 2\n";
    let from = Query {
        from_id: Some(5),
        ..of("A")
    };
    let server = Server::start(&[ok(r#"[{"i":5},{"i":6}]"#)]).await;
    let (fetched, frames) = server.fetch(id, &from).await;
    assert!(fetched.unwrap().complete);
    assert_eq!((server.asked().len(), frames.len()), (2, 2));

    let few = format!("{id}pages = 1\n");
    let server = Server::start(&[ok(r#"[{"i":5},{"i":6}]"#)]).await;
    let (fetched, _) = server.fetch(&few, &from).await;
    let fetched = fetched.unwrap();
    assert_eq!(
        (fetched.pages, fetched.complete, fetched.last_id),
        (1, false, Some(6))
    );

    let server = Server::start(&[ok("back soon")]).await;
    let (error, frames) = server.fetch(id, &from).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no JSON") && frames.is_empty(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_is_kept_by_all_requests_together() {
    const WINDOW: Duration = Duration::from_millis(400);
    let server = Server::start(&[ok("fine")]).await;
    let toml = format!("budget = {{ weight = 6, per = '400 ms' }}\n{ONE}weight = 2\n");
    let client = Arc::new(server.client(&toml));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { fetch(&client, &of("A")).await.0.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let at: Vec<Instant> = server.asked().into_iter().map(|asked| asked.at).collect();
    // Three of weight 2 at once; what is measured here is when they arrive.
    let slack = Duration::from_millis(100);
    for four in at.windows(4) {
        assert!(
            four[3] - four[0] + slack >= WINDOW,
            "{:?}",
            four[3] - four[0]
        );
    }
    assert!(at[7] - at[0] < 4 * WINDOW);
    let dear = format!("budget = {{ weight = 1, per = '1 s' }}\n{ONE}weight = 2\n");
    let rest: Rest = toml::from_str(&format!("url = 'http://localhost'\n{dear}")).unwrap();
    let error = Client::new("v", &rest, None, &Secrets::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("weight 2"), "{error}");
}

#[tokio::test]
async fn a_secret_is_in_no_error() {
    let toml = "attempts = 1\ntimeout = '300 ms'\n[headers]\nx-key = '{{ secret.key }}'\n\
        [requests.r]\npath = '/x?key={{ secret.key }}{{ symbol }}'\ntable = 'trades'\n\
        [requests.r.page]\nnext_url = '/next'\n";
    let quoted = serde_json::to_string(KEY).unwrap().replace('/', "\\/");
    let encoded = "k3y-that-nobody-may-see%2F%2B";
    let mut texts = Vec::new();
    for said in [
        Answer::Says(403, format!("bad key {KEY}")),
        Answer::Says(500, format!("{}{KEY}", "x".repeat(190))),
        Answer::Says(400, format!("{{\"key\":{quoted}}}")),
        Answer::Says(400, format!("/x?key={encoded}")),
        ok(&format!("no JSON {KEY}")),
        ok(&format!("{{\"next\":\"https://{KEY}/\"}}")),
        Answer::Breaks,
        Answer::Hangs,
    ] {
        let server = Server::start(&[said]).await;
        let client = server.client(toml);
        let (error, _) = fetch(&client, &of("A")).await;
        let error = error.unwrap_err();
        texts.extend([
            error.to_string(),
            format!("{error:?}"),
            format!("{client:?}"),
        ]);
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("url = 'http://{}'\n{toml}", listener.local_addr().unwrap());
    drop(listener);
    let secrets = Secrets::new([("key".to_owned(), Secret::new(KEY))]);
    let rest: Rest = toml::from_str(&nobody).unwrap();
    let client = Client::new("v", &rest, None, &secrets).unwrap();
    let error = fetch(&client, &of("A")).await.0.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    texts.extend([error.to_string(), format!("{error:?}")]);
    let error = fetch(&client, &Query::default()).await.0.unwrap_err();
    texts.extend([error.to_string(), format!("{error:?}")]);
    for text in texts {
        for form in ["k3y", "nobody-may"] {
            assert!(!text.contains(form), "{text}");
        }
    }
}

#[tokio::test]
async fn bodies_are_bounded_after_decompression() {
    let server = Server::start(&[Answer::Zeros(65 << 20)]).await;
    let (error, frames) = server.fetch(ONE, &of("A")).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("64 MiB") && frames.is_empty(), "{error}");
    let server = Server::start(&[Answer::Zeros(1 << 20)]).await;
    let (_, frames) = server.fetch(ONE, &of("A")).await;
    assert_eq!(frames[0].payload.len(), 1 << 20);
}

#[tokio::test]
async fn a_request_that_is_dropped_hands_nothing_over() {
    let server = Server::start(&[Answer::Hangs]).await;
    let client = server.client(ONE);
    let (to, mut from) = mpsc::channel::<Message>(1);
    {
        let query = of("A");
        let fetch = client.fetch("r", &query, &to);
        tokio::pin!(fetch);
        while server.asked().is_empty() {
            tokio::select! {
                _ = &mut fetch => panic!("it has no answer"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    assert!(from.try_recv().is_err());
    // The client is as good as before.
    *server.answers.lock().unwrap() = vec![ok("fine")];
    assert_eq!(fetch(&client, &of("A")).await.0.unwrap().pages, 1);
    drop(from);
    let error = client.fetch("r", &of("A"), &to).await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
    let unknown = client.fetch("x", &of("A"), &to).await.unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "some_venue: its feed.toml has no [rest.requests.x]"
    );
}
