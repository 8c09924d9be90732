//! The stand-in's HTTP side: any path that asks for a WebSocket becomes one, others are requests of `feed.toml`.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query as Parameters, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

use super::history::{self, Kind, PAGE, Request, Rows, Wanted};
use super::pattern::{Filled, percent_decoded};
use super::protocol::Symbol;
use super::stage::Stage;
use super::{Error, Query, connection};

/// A client's frame is never longer.
const MAX_FRAME_BYTES: usize = 1 << 20;

#[derive(Clone)]
struct Shared {
    stage: Arc<Stage>,
    stop: watch::Receiver<bool>,
}

pub(super) fn router(stage: Arc<Stage>, stop: watch::Receiver<bool>) -> Router {
    Router::new()
        .fallback(handle)
        .with_state(Shared { stage, stop })
}

async fn handle(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Shared { stage, stop } = shared;
    let decoded = percent_decoded(&uri.to_string());
    if let Ok(upgrade) = upgrade {
        let by_address = stage.protocol.topics_of_address(&decoded);
        return upgrade
            .max_message_size(MAX_FRAME_BYTES)
            .on_upgrade(move |socket| connection::serve(socket, stage, by_address, stop));
    }
    let number = stage.next_request();
    if stage.options.faults.refuse_request(number) {
        let mut response = said(StatusCode::TOO_MANY_REQUESTS, "too many requests");
        let second = header::HeaderValue::from_static("1");
        response.headers_mut().insert(header::RETRY_AFTER, second);
        return response;
    }
    let in_headers = headers
        .values()
        .filter_map(|value| value.to_str().ok())
        .any(|value| stage.protocol.holds_key(value));
    if !in_headers && !stage.protocol.holds_key(&decoded) {
        return said(StatusCode::UNAUTHORIZED, "the key is wrong or missing");
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let base = format!("http://{}", host.unwrap_or("localhost"));
    // What is asked of the database takes its time.
    let answer = tokio::task::spawn_blocking(move || answer(&stage, &uri, &base));
    answer.await.unwrap_or_else(|_| {
        said(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be made; this is a bug",
        )
    })
}

fn answer(stage: &Stage, uri: &Uri, base: &str) -> Response {
    let Ok(Parameters(query)) = Parameters::<Query>::try_from_uri(uri) else {
        return said(StatusCode::BAD_REQUEST, "the parameters cannot be read");
    };
    let Some((request, filled)) = stage.answers.find(uri.path(), &query) else {
        return said(
            StatusCode::NOT_FOUND,
            "this is no request that [replay] in the venue's feed.toml can answer",
        );
    };
    let Some(symbol) = filled.get("symbol").and_then(|name| {
        let protocol = &stage.protocol;
        let exact = protocol.symbol(name);
        exact.or_else(|| protocol.symbol_without_punctuation(name))
    }) else {
        return said(StatusCode::BAD_REQUEST, "the recording has no such symbol");
    };
    let answered = match &request.kind {
        Kind::Book => book(stage, symbol),
        Kind::History { .. } => page(stage, request, &filled, symbol, uri, &query, base),
    };
    match answered {
        Ok(Some(body)) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::OK, json, body).into_response()
        }
        Ok(None) => said(
            StatusCode::NOT_FOUND,
            "the recording has no whole book of this symbol from here on",
        ),
        Err(error) => {
            tracing::error!("{error}");
            said(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer could not be made",
            )
        }
    }
}

fn said(status: StatusCode, words: &str) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let body = serde_json::json!({ "error": words }).to_string();
    (status, json, body).into_response()
}

fn book(stage: &Stage, symbol: Symbol) -> Result<Option<String>, Error> {
    let book = match stage.book(symbol) {
        Ok(book) => Some(book),
        Err(seq) => stage.later_book(symbol, seq)?,
    };
    let Some(book) = book else {
        return Ok(None);
    };
    let rendered = stage.protocol.snapshot(symbol, None, book);
    rendered.map_err(|source| stage.template_error(source))
}

fn page(
    stage: &Stage,
    request: &Request,
    filled: &Filled,
    symbol: Symbol,
    uri: &Uri,
    query: &Query,
    base: &str,
) -> Result<Option<String>, Error> {
    let Kind::History {
        table,
        history,
        rows,
        interval,
    } = &request.kind
    else {
        return Ok(None);
    };
    let parameter = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, v)| v);
    let token = filled.get("token").or_else(|| parameter(PAGE));
    let skip = token.and_then(|token| token.parse().ok()).unwrap_or(0);
    let symbol = stage.protocol.symbol_name(symbol);
    let found = match stage.at_ns() {
        // Nothing has happened yet.
        None => Rows::default(),
        Some(until_ns) => stage.answers.page(&Wanted {
            table,
            history,
            rows: *rows,
            interval: interval.as_deref(),
            symbol,
            filled,
            until_ns,
            skip,
        })?,
    };
    let token = found.more.then(|| (skip + rows).to_string());
    let url = token.as_ref().map(|token| {
        // Keys are the client's to add again.
        let secret: Vec<&str> = request.address.secret_parameters().collect();
        let mut url = format!("{base}{}?", uri.path());
        for part in uri.query().unwrap_or_default().split('&') {
            let name = part.split('=').next().unwrap_or_default();
            if !name.is_empty() && name != PAGE && !secret.contains(&name) {
                url.push_str(part);
                url.push('&');
            }
        }
        format!("{url}{PAGE}={token}")
    });
    let names = history::names(symbol, &found, token, url);
    let rendered = history.page.render(&names);
    rendered
        .map(Some)
        .map_err(|source| stage.template_error(source))
}
