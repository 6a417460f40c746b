//! Pages of HTTP servers that close the connection behind their answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use lab::Host;

use super::wait::PATIENCE;

/// Asks from a host for a page; `None` if nobody listens there (yet), or is not ready (503). The
/// answer's body, if its status is 200.
///
/// # Panics
/// It has another one, or none within the patience.
#[must_use]
pub fn page(host: &Host, server: SocketAddr, path: &str) -> Option<String> {
    let fetched = host.inside(|| {
        let mut stream = TcpStream::connect(server).ok()?;
        let set = stream.set_read_timeout(Some(PATIENCE));
        set.expect("a timeout can be set");
        // 1.0: the server closes, and its answer comes in one piece.
        let request = format!("GET {path} HTTP/1.0\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        Some(answer)
    });
    let answer = fetched.expect("the host is there")?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    match head.split(' ').nth(1) {
        Some("503") => None,
        status => {
            assert_eq!(status, Some("200"), "{path}: {answer}");
            Some(body.to_owned())
        }
    }
}
