//! Every kind against real servers on loopback, most of which misbehave.

mod http;
mod http2;
mod tls;

use std::collections::HashMap;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::outcome::Answer;
use super::*;
use crate::health::machine::Asked;

/// For what answers: a busy machine may take its time.
const PATIENT: Duration = Duration::from_secs(20);
/// For what does not.
const IMPATIENT: Duration = Duration::from_millis(150);

/// A server that does this with every connection.
async fn serve<F, R>(handler: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handler(stream));
        }
    });
    address
}

/// Reads a request's head, says this, and waits for the other side to go.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, answer: &[u8]) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let _ = stream.write_all(answer).await;
    let _ = stream.read_u8().await;
}

async fn ask_within(kind: CheckKind, to: SocketAddr, timeout: Duration) -> Outcome {
    let probe = Probe {
        kind: Arc::new(kind),
        address: to.ip(),
        port: Some(to.port()),
        through: None,
    };
    probe.run(&Tools::default(), timeout).await
}

async fn ask(kind: CheckKind, to: SocketAddr) -> Outcome {
    ask_within(kind, to, PATIENT).await
}

#[track_caller]
fn good(outcome: &Outcome, text: &str) {
    assert_eq!(
        (outcome.answer, outcome.text.as_str()),
        (Answer::Good, text)
    );
}

#[track_caller]
fn bad(outcome: &Outcome, text: &str) {
    assert_eq!(outcome.answer, Answer::Bad, "{outcome:?}");
    assert!(outcome.text.contains(text), "{outcome:?}");
}

/// An address on which nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_connection_is_opened_or_refused_and_closed_with_a_reset() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let to = serve(move |mut stream| {
        let sender = sender.clone();
        async move {
            let end = stream.read_u8().await.unwrap_err().kind();
            sender.send(end).unwrap();
        }
    })
    .await;
    good(&ask(CheckKind::Tcp, to).await, "connected");
    let end = ends.recv().await.unwrap();
    assert_eq!(end, std::io::ErrorKind::ConnectionReset);
    bad(
        &ask(CheckKind::Tcp, nobody().await).await,
        "connection refused",
    );
}

#[tokio::test]
async fn ipv6_is_checked_too() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return;
    };
    let to = listener.local_addr().unwrap();
    good(&ask(CheckKind::Tcp, to).await, "connected");
}

#[tokio::test]
async fn a_queue_that_is_full_is_a_timeout() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let to = listener.local_addr().unwrap();
    // Nobody accepts, and the kernel drops SYNs once its queue is full.
    let mut queued = Vec::new();
    loop {
        let connect = TcpStream::connect(to);
        match tokio::time::timeout(IMPATIENT, connect).await {
            Ok(stream) => queued.push(stream.unwrap()),
            Err(_) => break,
        }
    }
    let outcome = ask_within(CheckKind::Tcp, to, IMPATIENT).await;
    bad(&outcome, "no connection within 150ms");
    assert!(outcome.took >= IMPATIENT);
}

#[tokio::test]
async fn datagrams_are_answered_refused_or_neither() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap();
    tokio::spawn(async move {
        let mut datagram = [0; 100];
        while let Ok((length, from)) = server.recv_from(&mut datagram).await {
            if &datagram[..length] != b"quiet" {
                let answer = [b"re: ", &datagram[..length]].concat();
                let _ = server.send_to(&answer, from).await;
            }
        }
    });
    let udp = |send: &str, expect: Option<&str>| CheckKind::Udp {
        send: send.into(),
        expect: expect.map(Into::into),
    };
    good(
        &ask(udp("ping", Some("ping")), to).await,
        "an answer of 8 bytes",
    );
    good(&ask(udp("", Some("re:")), to).await, "an answer of 4 bytes");
    good(&ask(udp("ping", None), to).await, "an answer of 8 bytes");
    bad(
        &ask(udp("ping", Some("pong")), to).await,
        "without what is expected",
    );
    let quiet = ask_within(udp("quiet", Some("x")), to, IMPATIENT).await;
    bad(&quiet, "no answer within 150ms");
    let quiet = ask_within(udp("quiet", None), to, IMPATIENT).await;
    good(&quiet, "not refused");
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr();
    bad(
        &ask(udp("ping", None), closed.unwrap()).await,
        "port unreachable",
    );
}

#[tokio::test]
async fn more_datagrams_than_there_are_ports_wait_for_their_answers_at_one_time() {
    const CHECKS: u8 = 12;
    let all_asked = Arc::new(tokio::sync::Barrier::new(CHECKS.into()));
    let tools = Tools::default();
    tools.ports.set(Some(19_870..=19_873));
    let mut checks = Vec::new();
    for number in 1..=CHECKS {
        let server = UdpSocket::bind(SocketAddr::from(([127, 0, 0, number], 0)))
            .await
            .unwrap();
        let to = server.local_addr().unwrap();
        let all_asked = Arc::clone(&all_asked);
        tokio::spawn(async move {
            let (_, from) = server.recv_from(&mut [0; 100]).await.unwrap();
            all_asked.wait().await;
            server.send_to(&[number], from).await.unwrap();
        });
        let kind = CheckKind::Udp {
            send: b"ping".to_vec(),
            expect: Some(vec![number]),
        };
        let probe = Probe {
            kind: Arc::new(kind),
            address: to.ip(),
            port: Some(to.port()),
            through: None,
        };
        let tools = &tools;
        checks.push(async move { probe.run(tools, PATIENT).await });
    }
    for outcome in futures_util::future::join_all(checks).await {
        good(&outcome, "an answer of 1 bytes");
    }
}

#[tokio::test]
async fn by_way_of_the_service_nothing_is_said_until_next_hops_are_known() {
    let backend: IpAddr = "192.0.2.1".parse().unwrap();
    let probe = Probe {
        kind: Arc::new(CheckKind::Tcp),
        address: "192.0.2.9".parse().unwrap(),
        port: Some(80),
        through: Some(Through {
            mode: engine::desired::ForwardingMode::L2Dsr,
            backend,
            gue_port: 0,
            source: None,
            ttl: 64,
        }),
    };
    let tools = Tools::default();
    let outcome = probe.run(&tools, PATIENT).await;
    assert_eq!(
        (outcome.answer, outcome.text.as_str()),
        (
            Answer::Inconclusive,
            "cannot check: next hops are not known yet"
        )
    );
    tools.wire.set_next_hops(HashMap::new());
    let outcome = probe.run(&tools, PATIENT).await;
    bad(&outcome, "no next hop is known for 192.0.2.1");
}

#[tokio::test]
async fn an_agents_line_is_understood_and_its_silence_is_not_waited_for() {
    let agent = |send: &str| CheckKind::Agent { send: send.into() };
    let to = serve(|mut stream| async move {
        let mut asked = [0; 8];
        let length = stream.read(&mut asked).await.unwrap();
        let line: &[u8] = match &asked[..length] {
            b"half" => b"ready, up 50%\nnot this: maint",
            b"cut" => b"drain",
            b"long" => &[b'x'; 5_000],
            b"odd" => b"hello\r\n",
            _ => return sleep(PATIENT).await,
        };
        let _ = stream.write_all(line).await;
    })
    .await;
    let outcome = ask(agent("half"), to).await;
    good(&outcome, "the agent says \"ready, up 50%\"");
    let words = outcome.agent.unwrap();
    assert_eq!((words.down, words.percent), (Some(false), Some(50)));
    assert_eq!(words.asked, Some(Asked::Nothing));
    let outcome = ask(agent("cut"), to).await;
    assert_eq!(outcome.agent.unwrap().asked, Some(Asked::Drain));
    bad(&ask(agent("odd"), to).await, "has no word of an agent's");
    bad(&ask(agent("long"), to).await, "has no word of an agent's");
    let silent = ask_within(agent("none"), to, IMPATIENT).await;
    bad(&silent, "no answer of the agent within 150ms");
    bad(&ask(agent(""), nobody().await).await, "connection refused");
}

fn shell(script: &str) -> CheckKind {
    CheckKind::Command {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
    }
}

#[tokio::test]
async fn a_command_says_it_with_its_exit_code() {
    let to: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let told = ask(
        shell("echo $EVENKEEL_ADDRESS $EVENKEEL_PORT $HOME; pwd"),
        to,
    )
    .await;
    good(&told, "exit code 0: 192.0.2.1 80");
    bad(&ask(shell("echo no; exit 3"), to).await, "exit code 3: no");
    bad(&ask(shell("kill -9 $$"), to).await, "killed by signal 9");
    good(
        &ask(shell("cat; yes | head -c 1000000"), to).await,
        "exit code 0: y",
    );
    let left_behind = ask(shell("sleep 1000 & echo done"), to).await;
    good(&left_behind, "exit code 0: done");
    let none = CheckKind::Command {
        command: vec!["/no/such/program".into()],
    };
    let outcome = ask(none, to).await;
    assert_eq!(outcome.answer, Answer::Inconclusive);
    assert_eq!(
        outcome.text,
        "cannot check: /no/such/program: no such file or directory"
    );
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_it_has_started() {
    let folder = std::env::temp_dir().join(format!("evenkeel-command-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let fifo = folder.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // A child's child holds the pipe open for as long as it lives.
    let script = format!("sh -c 'exec 9<>{} && sleep 1000' & wait", fifo.display());
    let to: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let outcome = ask_within(shell(&script), to, IMPATIENT).await;
    bad(&outcome, "no end of the command within 150ms");
    let holders = |wanted: &str| {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter(|entry| {
            std::fs::read_dir(entry.path().join("fd")).is_ok_and(|files| {
                let mut links = files
                    .flatten()
                    .filter_map(|f| std::fs::read_link(f.path()).ok());
                links.any(|link| link.to_string_lossy() == wanted)
            })
        })
        .count()
    };
    let deadline = Instant::now() + PATIENT;
    while holders(&fifo.display().to_string()) > 0 {
        assert!(Instant::now() < deadline, "still there");
        sleep(Duration::from_millis(10)).await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_run_that_is_given_up_leaves_no_connection() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let to = serve(move |mut stream| {
        let sender = sender.clone();
        async move {
            sender.send("accepted").unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
            sender.send("gone").unwrap();
        }
    })
    .await;
    let grpc = CheckKind::Grpc {
        service: String::new(),
        tls: None,
    };
    let task = tokio::spawn(ask(grpc, to));
    assert_eq!(events.recv().await, Some("accepted"));
    task.abort();
    let gone = tokio::time::timeout(PATIENT / 2, events.recv()).await;
    assert_eq!(gone, Ok(Some("gone")));
}
