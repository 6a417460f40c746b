//! Backends that fail, come back, drain and start slowly by what their checks say, while clients ask.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use control::event::{Event, What};
use control::health::State;
use control::status::{BackendStatus, ServiceStatus};
use evenkeel_tests::support::{
    Family, PATIENCE, PORT, Scene, Service, assert_used, eventually, fresh_requests, hold, ip,
    reason,
};
use lab::fetch::{FetchOptions, Holding, fetch};
use lab::topology::{ROUTED, TUNNEL};

const INTERVAL: Duration = Duration::from_millis(500);
const FALL: u32 = 3;
/// What a machine with nothing else to do takes at most until a dead server gets nothing new.
const NOTICED: Duration = Duration::from_millis(500 * 3 + 200);
/// Held in the background.
const CONNECTIONS: usize = 60;
const AGENT_PORT: u16 = 9_999;

/// A check of this type, and what follows it in its table.
fn check(rest: &str) -> String {
    format!("health = {{ interval = \"500ms\", timeout = \"500ms\", fall = {FALL}, {rest} }}")
}

/// The service of a lab with all its IPv4 backends, and these lines.
fn service(scene: &Scene, mode: &'static str, lines: &[&str]) -> [Service; 1] {
    let service = Service::tcp(scene.vip().into(), mode).to(&scene.backends(Family::V4));
    [lines
        .iter()
        .fold(service, |service, line| service.with(line))]
}

fn told(scene: &Scene) -> ServiceStatus {
    scene.status().services.remove(0)
}

fn backend(scene: &Scene, host: &str) -> BackendStatus {
    let address = format!("{}:{PORT}", scene.address(host));
    let found = told(scene).backends;
    let mut found = found.into_iter().filter(|it| it.address == address);
    found.next().unwrap_or_else(|| panic!("no {address}"))
}

fn health(scene: &Scene, host: &str) -> State {
    backend(scene, host).health.expect("a check").state
}

fn until_health(scene: &Scene, host: &str, wanted: State) {
    eventually(&format!("{host} is {wanted}"), PATIENCE, || {
        (health(scene, host) == wanted).then_some(())
    });
}

fn until_all_up(scene: &Scene) {
    eventually("all backends are up", PATIENCE, || {
        let backends = told(scene).backends;
        let up = |backend: &BackendStatus| {
            let health = backend.health.as_ref();
            health.is_some_and(|health| health.state == State::Up)
        };
        backends.iter().all(up).then_some(())
    });
}

fn until_condition(scene: &Scene, wanted: &str) {
    eventually(&format!("the service is {wanted}"), PATIENCE, || {
        (told(scene).condition == wanted).then_some(())
    });
}

/// Who answers new connections.
fn servers(scene: &Scene) -> Vec<String> {
    let by_server = fresh_requests(&scene.client(), scene.vip().into(), 40);
    by_server.into_keys().collect()
}

/// What a health event says of a host that came into a state, if there is one.
fn event(scene: &Scene, host: &str, state: &str) -> Option<String> {
    let finished = scene.command("events --json");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let address = format!("{}:{PORT}", scene.address(host));
    let lines = finished.stdout.lines();
    let events = lines.map(|line| serde_json::from_str::<Event>(line).unwrap().what);
    let mut reasons = events.filter_map(|what| match what {
        What::Health {
            backend,
            from,
            to,
            reason,
            ..
        } if backend == address && to == state && from != "unknown" => Some(reason),
        _ => None,
    });
    reasons.next()
}

/// Asks until the host is down and a while longer: when the last new connection met its dead server.
fn last_met(scene: &Scene, host: &str, killed: Instant) -> Duration {
    let options = FetchOptions {
        requests: 8,
        timeout: Duration::from_secs(2),
        ..FetchOptions::new(scene.target())
    };
    let mut last = Duration::ZERO;
    let mut down = None;
    eventually("it gets nothing any more", PATIENCE, || {
        let report = scene.client().inside(|| fetch(&options)).unwrap().unwrap();
        if report.summary.failed > 0 {
            last = killed.elapsed();
            assert!(down.is_none(), "{}", report.summary);
        }
        if down.is_none() && health(scene, host) == State::Down {
            down = Some(Instant::now());
        }
        down.filter(|down| down.elapsed() > 2 * INTERVAL)
            .map(|_| ())
    });
    last
}

#[test]
fn a_server_that_dies_gets_nothing_new_and_has_its_share_again_when_it_is_back() {
    let mut scene = Scene::new(&ROUTED, "healthhttp");
    let http = check("type = \"http\"");
    scene.balance(&service(&scene, "nat", &[&http]));
    until_all_up(&scene);
    assert_eq!(servers(&scene), ["h2", "h3"]);

    let killed = Instant::now();
    scene.kill_server("h2", PORT);
    let last = last_met(&scene, "h2", killed);
    println!("the last new connection met the dead server {last:?} after its end, of {NOTICED:?}");
    assert!(last < 2 * NOTICED, "{last:?}");
    assert_eq!(servers(&scene), ["h3"]);
    let dead = backend(&scene, "h2");
    assert_eq!((&*dead.state, dead.share), ("down", 0.0));
    assert!(dead.health.unwrap().check.unwrap().text.contains("refused"));
    let said = event(&scene, "h2", "down").expect("an event");
    assert!(said.contains("refused"), "{said}");
    let text = scene.command("status").stdout;
    assert!(text.contains("checks: down for"), "{text}");

    scene.serve("h2", PORT);
    until_health(&scene, "h2", State::Up);
    assert!(event(&scene, "h2", "up").is_some());
    let back = backend(&scene, "h2");
    assert!((back.share - 0.5).abs() < 0.01, "{back:?}");
    assert_eq!(servers(&scene), ["h2", "h3"]);
}

/// A backend whose check fails and that serves all the same, with connections held: what became of
/// them, and how many it had.
fn held_while_a_check_fails(on_down: &str) -> (Scene, Holding, usize) {
    let mut scene = Scene::new(&TUNNEL, &format!("health{on_down}"));
    scene.decapsulate();
    for host in ["h2", "h3", "h4", "h6"] {
        scene.serve(host, PORT + 1);
    }
    let other = check(&format!("type = \"tcp\", port = {}", PORT + 1));
    let on_down = format!("on_down = \"{on_down}\"");
    scene.balance(&service(&scene, "ipip", &[&other, &on_down]));
    until_all_up(&scene);
    let holding = hold(&scene.client(), scene.target(), CONNECTIONS);
    let had = holding.report().by_server["h2"];
    assert!(had > 0);
    scene.kill_server("h2", PORT + 1);
    until_health(&scene, "h2", State::Down);
    assert_eq!(servers(&scene), ["h3", "h4", "h6"]);
    (scene, holding, had)
}

#[test]
fn connections_of_a_backend_that_is_down_stay_where_they_are_to_be_kept() {
    let (scene, holding, had) = held_while_a_check_fails("keep");
    assert_eq!(backend(&scene, "h2").state, "drain");
    assert_used(&holding, "while it drains");
    let report = holding.finish().unwrap();
    assert_eq!(report.broken, [], "{report}");
    assert_eq!(report.alive["h2"], had, "{report}");
}

#[test]
fn connections_of_a_backend_that_is_down_are_reset_where_they_are_to_move() {
    let (scene, holding, had) = held_while_a_check_fails("move");
    assert_eq!(backend(&scene, "h2").state, "down");
    eventually("all of its connections have met a reset", PATIENCE, || {
        (holding.report().broken.len() == had).then_some(())
    });
    let report = holding.finish().unwrap();
    assert_eq!(report.broken.len(), had, "{report}");
    for broken in &report.broken {
        assert_eq!(broken.server.as_deref(), Some("h2"), "{report}");
        assert!(broken.reason.contains("reset"), "{report}");
    }
}

#[test]
fn a_service_without_backends_refuses_or_apologizes_and_in_panic_uses_all() {
    let mut scene = Scene::new(&ROUTED, "healthnone");
    scene.serve_as("sorry", "h2", PORT + 1);
    let tcp = check("type = \"tcp\"");
    let reject = "no_backend = \"reject\"";
    scene.balance(&service(&scene, "nat", &[&tcp, reject]));
    until_all_up(&scene);
    for host in ["h2", "h3"] {
        scene.kill_server(host, PORT);
    }
    until_condition(&scene, "empty");
    let before = reason(&scene.status(), "rejected");
    let options = FetchOptions {
        requests: 5,
        ..FetchOptions::new(scene.target())
    };
    let report = scene.client().inside(|| fetch(&options)).unwrap().unwrap();
    let failures: Vec<_> = report.summary.failures.into_iter().collect();
    assert_eq!(failures, [("connect: Connection refused".to_owned(), 5)]);
    assert!(reason(&scene.status(), "rejected") >= before + 5);
    let text = scene.command("status").stdout;
    assert!(text.contains("EMPTY: every backend is down"), "{text}");

    let sorry = format!("sorry = [\"{}:{}\"]", scene.address("h2"), PORT + 1);
    scene.reload(&service(&scene, "nat", &[&tcp, reject, &sorry]));
    until_condition(&scene, "sorry");
    assert_eq!(servers(&scene), ["sorry"]);
    scene.serve("h3", PORT);
    until_condition(&scene, "normal");
    assert_eq!(servers(&scene), ["h3"]);

    let panic = "panic_threshold = 60";
    scene.reload(&service(&scene, "nat", &[&tcp, reject, &sorry, panic]));
    until_condition(&scene, "panic");
    let dead = backend(&scene, "h2");
    assert!(
        dead.share > 0.4 && dead.health.unwrap().state == State::Down,
        "{}",
        dead.share
    );
    scene.serve("h2", PORT);
    until_condition(&scene, "normal");
    assert_eq!(servers(&scene), ["h2", "h3"]);
}

#[test]
fn a_backend_that_was_down_stays_so_in_the_next_process_until_it_has_risen() {
    let mut scene = Scene::new(&ROUTED, "healthsaved");
    let slow = check("type = \"tcp\", rise = 20");
    scene.balance(&service(&scene, "nat", &[&slow]));
    until_all_up(&scene);
    scene.kill_server("h2", PORT);
    until_health(&scene, "h2", State::Down);
    let health_file = scene.file("health");
    eventually("what is known to be saved", PATIENCE, || {
        let text = fs::read_to_string(&health_file).ok()?;
        text.contains(r#""verdict":"down""#).then_some(())
    });
    scene.balancer().kill().unwrap();
    scene.serve("h2", PORT);
    let path = scene.folder().path().join("config.toml");
    scene.run(&format!("--config {} --keep", path.display()));
    assert_eq!(health(&scene, "h2"), State::Down);
    assert_eq!(servers(&scene), ["h3"]);
    until_health(&scene, "h2", State::Up);
    let risen = backend(&scene, "h2").health.unwrap();
    assert!(risen.passed >= 20, "{risen:?}");
    assert!(event(&scene, "h2", "up").unwrap().contains("20 times"));
    assert_eq!(servers(&scene), ["h2", "h3"]);
}

/// The process is killed after a backend has come back, and before that is saved. The next one
/// leaves the backend's connections alone.
fn killed_with_stale_health(test: &str, rise: u8) -> Scene {
    let mut scene = Scene::new(&ROUTED, test);
    let tcp = check(&format!("type = \"tcp\", rise = {rise}"));
    scene.balance(&service(&scene, "nat", &[&tcp]));
    until_all_up(&scene);
    scene.kill_server("h2", PORT);
    until_health(&scene, "h2", State::Down);
    let health_file = scene.file("health");
    let stale = eventually("what is known to be saved", PATIENCE, || {
        let text = fs::read_to_string(&health_file).ok()?;
        text.contains(r#""verdict":"down""#).then_some(text)
    });
    scene.serve("h2", PORT);
    until_all_up(&scene);
    let holding = hold(&scene.client(), scene.target(), CONNECTIONS);
    let had = holding.report().by_server["h2"];
    scene.balancer().kill().unwrap();
    fs::write(&health_file, stale).unwrap();
    let path = scene.folder().path().join("config.toml");
    scene.run(&format!("--config {} --keep", path.display()));
    until_all_up(&scene);
    assert_used(&holding, "after a restart");
    let report = holding.finish().unwrap();
    assert_eq!(report.broken, [], "{report}");
    assert_eq!(report.alive["h2"], had, "{report}");
    scene
}

#[test]
fn a_backend_that_came_back_after_health_was_saved_last_keeps_its_connections_in_the_next_process()
{
    let scene = killed_with_stale_health("healthstale", 2);
    let said = event(&scene, "h2", "unknown").expect("an event");
    assert!(said.contains("took connections"), "{said}");
}

#[test]
fn a_backend_whose_first_check_is_good_before_the_next_process_is_ready_keeps_its_connections() {
    killed_with_stale_health("healthfast", 1);
}

/// Says what the test wants said, to whoever connects.
fn agent(scene: &Scene, host: &str) -> Arc<Mutex<String>> {
    let words = Arc::new(Mutex::new("up ready 100%".to_owned()));
    let bind = || TcpListener::bind(("0.0.0.0", AGENT_PORT));
    let listener = scene.host(host).inside(bind).unwrap().unwrap();
    let says = Arc::clone(&words);
    // It ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let line = format!("{}\n", says.lock().unwrap());
            // Whoever asked may have gone.
            let _ = stream.write_all(line.as_bytes());
        }
    });
    words
}

#[test]
fn an_agent_drains_its_backend_gives_it_weight_and_lets_it_start_slowly() {
    let mut scene = Scene::new(&ROUTED, "healthagent");
    let words = agent(&scene, "h2");
    let _other = agent(&scene, "h3");
    let tcp = check("type = \"tcp\"");
    let line = format!("agent = {{ port = {AGENT_PORT}, interval = \"200ms\" }}");
    scene.balance(&service(
        &scene,
        "nat",
        &[&tcp, &line, "slow_start = \"4s\""],
    ));
    until_all_up(&scene);
    let say = |text: &str| text.clone_into(&mut words.lock().unwrap());
    let until_share = |what: &str, wanted: f64| {
        eventually(what, PATIENCE, || {
            let share = backend(&scene, "h2").share;
            ((share - wanted).abs() < 0.01).then_some(())
        });
    };

    say("drain");
    until_share("a drain", 0.0);
    assert_eq!(backend(&scene, "h2").state, "drain");
    assert_eq!(health(&scene, "h2"), State::Drain);
    assert_eq!(servers(&scene), ["h3"]);
    say("ready 50%");
    until_share("half of its weight", 1.0 / 3.0);
    say("100%");
    until_share("all of its weight", 0.5);

    say("down#maintenance of the disk");
    until_health(&scene, "h2", State::Down);
    let said = event(&scene, "h2", "down").unwrap();
    assert!(said.contains("maintenance of the disk"), "{said}");
    say("up");
    let mut shares = Vec::new();
    eventually("all of its weight again", PATIENCE, || {
        let now = backend(&scene, "h2");
        shares.push(now.share);
        (now.health?.state == State::Up && now.share > 0.49).then_some(())
    });
    shares.dedup();
    println!("shares of a slow start: {shares:.3?}");
    assert!(shares.is_sorted(), "{shares:?}");
    assert!(shares.len() > 2, "{shares:?}");
}

#[test]
fn a_check_by_way_of_the_service_sees_that_a_backend_lost_its_address() {
    let mut scene = Scene::new(&TUNNEL, "healthvip");
    scene.decapsulate();
    let via = check("type = \"tcp\", via = \"service\"");
    scene.balance(&service(&scene, "ipip", &[&via]));
    until_all_up(&scene);
    assert_eq!(servers(&scene), ["h2", "h3", "h4", "h6"]);
    let (h2, vip) = (scene.host("h2"), *scene.vip().ip());
    ip(&h2, &format!("address del {vip}/32 dev lo"));
    until_health(&scene, "h2", State::Down);
    assert_eq!(servers(&scene), ["h3", "h4", "h6"]);
    ip(&h2, &format!("address add {vip}/32 dev lo"));
    until_health(&scene, "h2", State::Up);
    assert_eq!(servers(&scene), ["h2", "h3", "h4", "h6"]);
}
