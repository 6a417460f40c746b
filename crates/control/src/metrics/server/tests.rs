use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::advance;

use super::*;
use crate::status::{BackendStatus, ServiceStatus};

/// Longer than any connection may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time, by the clock on the wall, after which a test is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// A server and where it is; it goes with the set.
async fn serve(source: Source) -> (JoinSet<()>, SocketAddr) {
    let any = MetricsSettings {
        listen: Some(([127, 0, 0, 1], 0).into()),
        per_backend: true,
    };
    let listener = bind(&any).await.unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    let exporter = Exporter::new(any.per_backend);
    server.spawn(serve_metrics(listener, exporter, source));
    (server, address)
}

fn quiet() -> Source {
    Arc::new(|| Some(Status::default()))
}

/// The answer to a request, head and body.
async fn ask(server: SocketAddr, request: &str) -> String {
    let answer = async {
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    timeout(PATIENCE, answer).await.expect("an answer in time")
}

async fn get_path(server: SocketAddr, path: &str) -> String {
    ask(server, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
}

#[tokio::test(start_paused = true)]
async fn prometheus_gets_openmetrics_and_everybody_else_the_plainer_text() {
    let (_server, address) = serve(quiet()).await;
    let plain = get_path(address, "/metrics").await;
    assert!(plain.starts_with("HTTP/1.1 200 OK\r\n"), "{plain}");
    assert!(plain.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(plain.contains("\n# TYPE evenkeel_netlink_overruns_total counter\n"));
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let request = format!("GET /metrics HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\n\r\n");
    let open = ask(address, &request).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(
        open.contains(&format!("\r\ncontent-type: {kind}\r\n")),
        "{open}"
    );
    assert!(open.ends_with("# EOF\n"));
}

#[tokio::test(start_paused = true)]
async fn there_are_three_pages_and_nothing_can_be_changed() {
    let (_server, address) = serve(quiet()).await;
    assert!(
        get_path(address, "/")
            .await
            .contains("<a href=\"/metrics\">")
    );
    assert!(get_path(address, "/healthz").await.ends_with("\r\nok\n"));
    assert!(
        get_path(address, "/v1/status")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    for method in ["POST", "PUT", "DELETE"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        let answer = ask(address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
    assert!(ask(address, "\0\n\n").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test(start_paused = true)]
async fn without_a_status_there_are_no_metrics() {
    let (_server, address) = serve(Arc::new(|| None)).await;
    for path in ["/metrics", "/healthz"] {
        let answer = get_path(address, path).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_instance_is_looked_at_once_a_second_however_often_somebody_asks() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let (_server, address) = serve(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Some(Status::default())
    }))
    .await;
    // In either format: the health page has the other one.
    for _ in 0..20 {
        get_path(address, "/metrics").await;
        get_path(address, "/healthz").await;
    }
    assert_eq!(looks.load(Ordering::Relaxed), 2);
    advance(FRESH).await;
    get_path(address, "/metrics").await;
    assert_eq!(looks.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_kept_for_longer_than_it_is_given() {
    let desk = Arc::new(Desk::new(quiet(), Exporter::new(true)));
    let answer = metrics(State(Arc::clone(&desk)), HeaderMap::new()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(desk.kept().answers.iter().any(Option::is_some));
    sleep(2 * FRESH).await;
    assert!(desk.kept().answers.iter().all(Option::is_none));
}

/// A desk whose looks at the instance, from the one with this number on, last until somebody says so;
/// without a word they fail. Which one is under way is told, too.
fn slow_desk(from: usize) -> (Arc<Desk>, Arc<AtomicUsize>, mpsc::Sender<()>) {
    let looks = Arc::new(AtomicUsize::new(0));
    let (go_on, told) = mpsc::channel();
    let (counted, told) = (Arc::clone(&looks), Mutex::new(told));
    let source = move || {
        let waits = counted.fetch_add(1, Ordering::Relaxed) + 1 >= from;
        let told = told.lock().unwrap();
        (!waits || told.recv_timeout(STUCK).is_ok()).then(Status::default)
    };
    let desk = Desk::new(Arc::new(source), Exporter::new(true));
    (Arc::new(desk), looks, go_on)
}

/// Lets others run until it is so.
async fn until(is_so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < STUCK, "it is never so");
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_making_holds_up_nobody_who_forgets_another() {
    let (desk, looks, go_on) = slow_desk(2);
    let first = answer_of(Arc::clone(&desk), Format::OpenMetrics).await;
    assert!(first.is_some());
    let second = tokio::spawn(answer_of(Arc::clone(&desk), Format::Prometheus));
    until(|| looks.load(Ordering::Relaxed) == 2).await;
    // The first one is due to be forgotten.
    advance(2 * FRESH).await;
    for _ in 0..100 {
        yield_now().await;
    }
    go_on.send(()).expect("it waits");
    let second = second.await.unwrap();
    assert!(second.is_some(), "this thread was held up");
    sleep(2 * FRESH).await;
    assert!(desk.kept().answers.iter().all(Option::is_none));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_waits_for_any_more_is_forgotten_too() {
    let (desk, looks, go_on) = slow_desk(1);
    let asked = tokio::spawn(answer_of(Arc::clone(&desk), Format::OpenMetrics));
    until(|| looks.load(Ordering::Relaxed) == 1).await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    go_on.send(()).expect("it waits");
    until(|| desk.kept().answers.iter().any(Option::is_some)).await;
    sleep(2 * FRESH).await;
    assert!(desk.kept().answers.iter().all(Option::is_none));
}

#[tokio::test(start_paused = true)]
async fn those_who_connect_and_say_nothing_hold_nobody_up_for_long() {
    let (_server, address) = serve(quiet()).await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // One that never ends its request, a byte at a time.
    silent[0]
        .write_all(b"GET /metrics HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let asked = Instant::now();
    assert!(
        get_path(address, "/metrics")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(
        asked.elapsed() <= 2 * HEAD_PATIENCE,
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn those_who_do_not_read_their_answers_hold_nobody_up_for_long() {
    let backend = |number: u32| BackendStatus {
        address: format!("10.0.0.1:{number}"),
        ..BackendStatus::default()
    };
    let service = ServiceStatus {
        // More than the kernel's buffers take.
        backends: (0..20_000).map(backend).collect(),
        ..ServiceStatus::default()
    };
    let status = Status {
        services: vec![service],
        ..Status::default()
    };
    let (_server, address) = serve(Arc::new(move || Some(status.clone()))).await;
    let mut unread = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        unread.push(stream);
    }
    let asked = Instant::now();
    assert!(get_path(address, "/").await.starts_with("HTTP/1.1 200 "));
    let waited = asked.elapsed();
    assert!(
        waited >= CONNECTION_PATIENCE / 2,
        "the others were read: {waited:?}"
    );
    assert!(waited <= 2 * CONNECTION_PATIENCE, "{waited:?}");
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_told_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = |listen| MetricsSettings {
        listen: Some(listen),
        per_backend: true,
    };
    let address = taken.local_addr().unwrap();
    let error = bind(&settings(address)).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot serve metrics at {address}: ")));
    assert!(
        error.ends_with("choose another as `listen` in [metrics]"),
        "{error}"
    );
    let foreign = "192.0.2.1:9464".parse().unwrap();
    let error = bind(&settings(foreign)).await.unwrap_err().to_string();
    assert!(
        error.contains("expected an address of this host"),
        "{error}"
    );
    assert!(bind(&MetricsSettings::default()).await.unwrap().is_none());
}
