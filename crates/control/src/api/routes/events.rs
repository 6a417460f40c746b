//! What happens, as it happens.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::api::failure::{Failure, Refusal};
use crate::api::limits::{Endless, MAX_ENDLESS};
use crate::api::model::EventQuery;
use crate::api::server::Told;
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
    (status = 503, body = Failure, description = "Too many follow already"),
))]
pub(in crate::api) async fn events(
    State(told): State<Told>,
    Parameters(query): Parameters<EventQuery>,
) -> Result<Response, Refusal> {
    let (latest, live) = told.events.listen();
    let latest = latest.into_iter().filter(|it| it.number > query.since);
    if !query.follow {
        let text: String = latest.map(|event| line(&event)).collect();
        return Ok(([(CONTENT_TYPE, NDJSON)], text).into_response());
    }
    let place = told.places.try_acquire_owned().map_err(|_| {
        let text = format!(
            "{MAX_ENDLESS} readers follow the events already: let one of them end, or ask without \
             `follow` every now and then, with `since`"
        );
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    let following = Following {
        waiting: latest.map(|event| line(&event)).collect(),
        live: Some(live),
        _place: place,
    };
    let lines = stream::unfold(following, next);
    let mut response = ([(CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response();
    response.extensions_mut().insert(Endless);
    Ok(response)
}

/// Who follows.
struct Following {
    /// Lines that are to be sent.
    waiting: VecDeque<String>,
    /// Those to come; `None`: the instance ends.
    live: Option<Receiver<Event>>,
    _place: OwnedSemaphorePermit,
}

async fn next(mut following: Following) -> Option<(Result<Bytes, Infallible>, Following)> {
    let text = match following.waiting.pop_front() {
        Some(text) => text,
        None => match following.live.as_mut()?.recv().await {
            Ok(event) => {
                if matches!(event.what, What::Stopping { .. }) {
                    following.live = None;
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
    Some((Ok(text.into()), following))
}

fn line(value: &impl Serialize) -> String {
    // Plain structures can always be written.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}
