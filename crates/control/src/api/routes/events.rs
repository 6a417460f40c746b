//! What happens, as it happens.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::api::failure::Failure;
use crate::api::limits::Endless;
use crate::api::model::EventQuery;
use crate::api::server::Served;
use crate::api::strict::Parameters;
use crate::event::{Event, What};

/// What a line is.
const NDJSON: &str = "application/x-ndjson";

/// Stands in the stream for events that a slow reader has missed.
#[derive(Serialize)]
struct Lagged {
    event: &'static str,
    missed: u64,
}

/// The latest events, a JSON object a line, and with `follow` those to come. A reader who is too slow
/// is told `{"event":"lagged","missed":N}`; one who takes nothing for ten seconds is cut off
#[utoipa::path(get, path = "/v1/events", params(EventQuery), responses(
    (status = 200, body = Event, content_type = "application/x-ndjson"),
    (status = 400, body = Failure),
))]
pub(in crate::api) async fn events(
    State(served): State<Served>,
    Parameters(query): Parameters<EventQuery>,
) -> Response {
    let (latest, live) = served.events.listen();
    let latest = latest.into_iter().filter(|it| it.number > query.since);
    if !query.follow {
        let text: String = latest.map(|event| line(&event)).collect();
        return ([(CONTENT_TYPE, NDJSON)], text).into_response();
    }
    let waiting: VecDeque<String> = latest.map(|event| line(&event)).collect();
    let lines = stream::unfold((waiting, Some(live)), next);
    let mut response = ([(CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response();
    response.extensions_mut().insert(Endless);
    response
}

/// Lines that are to be sent, and those to come; `None`: the instance ends.
type Following = (VecDeque<String>, Option<Receiver<Event>>);

async fn next(
    (mut waiting, mut live): Following,
) -> Option<(Result<Bytes, Infallible>, Following)> {
    let text = match waiting.pop_front() {
        Some(text) => text,
        None => match live.as_mut()?.recv().await {
            Ok(event) => {
                if matches!(event.what, What::Stopping { .. }) {
                    live = None;
                }
                line(&event)
            }
            Err(RecvError::Lagged(missed)) => line(&Lagged {
                event: "lagged",
                missed,
            }),
            Err(RecvError::Closed) => return None,
        },
    };
    Some((Ok(text.into()), (waiting, live)))
}

fn line(value: &impl Serialize) -> String {
    // Plain structures can always be written.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}
