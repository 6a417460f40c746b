//! The handle, with real connections on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::desired::{Backend, Desired, Protocol, ServicePort};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::settings::{Check, Timing};
use super::super::target::target_of_service;
use super::super::{State as BackendState, Via};
use super::*;

const PATIENT: Duration = Duration::from_secs(20);

/// A server that can go and come back.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: SocketAddr) -> Self {
        Self::saying("up 50%\n", address).await
    }

    async fn saying(words: &'static str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::clone(&accepted),
            task: tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.write_all(words.as_bytes()).await;
                    let _ = stream.read_u8().await;
                }
            }),
        }
    }

    async fn stop(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

fn check(kind: CheckKind) -> Check {
    Check {
        kind,
        address: None,
        port: None,
        via: Via::Direct,
        timing: Timing {
            interval: Duration::from_millis(100),
            timeout: Duration::from_millis(100),
            rise: 2,
            fall: 2,
            jitter_permille: 100,
        },
    }
}

fn health(kind: CheckKind) -> ServiceHealth {
    ServiceHealth {
        check: Some(check(kind)),
        ..ServiceHealth::default()
    }
}

fn checked(services: &[(u16, &[SocketAddr], ServiceHealth)]) -> Checked {
    let backend = |address: &SocketAddr| Backend {
        port: Some(address.port()),
        ..Backend::new(address.ip())
    };
    let id = |port: u16| ServiceId {
        protocol: Protocol::Tcp,
        address: [10, 0, 0, 10].into(),
        port: ServicePort::Exact(port),
    };
    let service = |(port, backends, _): &(u16, &[SocketAddr], ServiceHealth)| {
        Service::new(id(*port), backends.iter().map(backend).collect())
    };
    Checked {
        desired: Desired {
            services: services.iter().map(service).collect(),
            ..Desired::default()
        },
        health: services
            .iter()
            .map(|(port, _, health)| (id(*port), health.clone()))
            .collect::<BTreeMap<_, _>>(),
        ..Checked::default()
    }
}

/// Transitions until one is as wanted.
async fn until(health: &mut Health, wanted: impl Fn(&Transition) -> bool) -> Vec<Transition> {
    let mut all = Vec::new();
    let waiting = async {
        while !all.iter().any(&wanted) {
            let changes = health.changes().await;
            let touched = |t: &Transition| changes.services.contains(&t.service);
            assert!(changes.transitions.iter().all(touched));
            all.extend(changes.transitions);
        }
    };
    timeout(PATIENT, waiting).await.expect("a transition");
    all
}

fn to(state: BackendState) -> impl Fn(&Transition) -> bool {
    move |transition| transition.step.to == state
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn a_backend_goes_down_and_comes_back() {
    let server = Server::start(loopback()).await;
    let file = checked(&[(80, &[server.address], health(CheckKind::Tcp))]);
    let service = &file.desired.services[0];
    let mut health = Health::start(None);
    health.set_subjects(&file);
    let up = until(&mut health, to(BackendState::Up)).await;
    assert_eq!(up.len(), 1);
    assert_eq!(
        up[0].to_string(),
        format!(
            "{} of tcp://10.0.0.10:80: unknown -> up: connected",
            server.address
        )
    );
    let address = server.stop().await;
    let down = until(&mut health, to(BackendState::Down)).await;
    assert_eq!(down[0].step.reason, "connection refused (2 times in a row)");
    let said = &file.health[&service.id];
    let now = tokio::time::Instant::now().into_std();
    let target = target_of_service(service, said, &health.board(), now)
        .service
        .into_owned();
    assert_eq!(
        target.backends[0].state,
        engine::desired::BackendState::Down
    );
    let saved = health.saved();
    let server = Server::start(address).await;
    until(&mut health, to(BackendState::Up)).await;
    let endpoint = Endpoint::of(service, &service.backends[0]);
    let report = health.reader().board().health(&service.id, endpoint, now);
    let report = report.unwrap();
    assert_eq!(report.state, BackendState::Up);
    assert_eq!(report.check.unwrap().answer, "good");
    let states: Vec<BackendState> = report.history.iter().map(|step| step.to).collect();
    assert_eq!(
        states,
        [BackendState::Up, BackendState::Down, BackendState::Up]
    );
    drop(health);
    // What was down before a restart takes `rise` successes to be up.
    let before = server.accepted.load(Ordering::Relaxed);
    let mut again = Health::start(Some(saved));
    again.set_subjects(&file);
    assert_eq!(
        again.board().state(&service.id, endpoint, now),
        Some(BackendState::Down)
    );
    until(&mut again, to(BackendState::Up)).await;
    assert!(server.accepted.load(Ordering::Relaxed) >= before + 2);
}

#[tokio::test]
async fn equal_checks_of_several_services_are_run_once() {
    let server = Server::start(loopback()).await;
    let backends = [server.address];
    let other = ServiceHealth {
        check: Some(Check {
            timing: Timing {
                fall: 9,
                ..check(CheckKind::Tcp).timing
            },
            ..check(CheckKind::Tcp)
        }),
        ..ServiceHealth::default()
    };
    let file = checked(&[
        (80, &backends, health(CheckKind::Tcp)),
        (81, &backends, health(CheckKind::Tcp)),
        (82, &backends, other),
    ]);
    let mut health_ = Health::start(None);
    health_.set_subjects(&file);
    assert_eq!(health_.checks(), 1);
    let mut up = 0;
    while up < 3 {
        up += until(&mut health_, to(BackendState::Up)).await.len();
    }
    // Whoever is no longer asked for is no longer checked; who stays keeps its state.
    health_.set_subjects(&checked(&[(81, &backends, health(CheckKind::Tcp))]));
    assert_eq!(health_.checks(), 1);
    let now = tokio::time::Instant::now().into_std();
    assert_eq!(health_.board().count(BackendState::Up, now), 1);
    health_.set_subjects(&checked(&[]));
    assert_eq!(
        (
            health_.checks(),
            health_.board().count(BackendState::Up, now)
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn an_agent_beside_a_check_weighs_and_its_end_changes_nothing() {
    let server = Server::start(loopback()).await;
    let agent = Server::start(loopback()).await;
    let said = ServiceHealth {
        agent: Some(Check {
            port: Some(agent.address.port()),
            ..check(CheckKind::Agent { send: Vec::new() })
        }),
        ..health(CheckKind::Tcp)
    };
    let file = checked(&[(80, &[server.address], said)]);
    let service = &file.desired.services[0];
    let endpoint = Endpoint::of(service, &service.backends[0]);
    let mut health_ = Health::start(None);
    health_.set_subjects(&file);
    let report = |health: &Health| {
        let now = tokio::time::Instant::now().into_std();
        health.board().health(&service.id, endpoint, now).unwrap()
    };
    let half = async {
        while report(&health_).weight != 0.5 {
            assert!(health_.changes().await.services.contains(&service.id));
        }
    };
    timeout(PATIENT, half).await.unwrap();
    agent.stop().await;
    let silent = async {
        while report(&health_).agent.unwrap().answer != "bad"
            || report(&health_)
                .check
                .is_none_or(|check| check.answer != "good")
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENT, silent).await.unwrap();
    assert_eq!(
        (report(&health_).state, report(&health_).weight),
        (BackendState::Up, 0.5)
    );
    // A file without the agent: all of the weight.
    let plain = checked(&[(80, &[server.address], health(CheckKind::Tcp))]);
    health_.set_subjects(&plain);
    assert_eq!(report(&health_).weight, 1.0);
}

#[tokio::test]
async fn what_an_agent_says_outlives_a_reload_and_a_restart_where_it_is_the_check() {
    let agent = Server::saying("drain 50%\n", loopback()).await;
    let kind = CheckKind::Agent { send: Vec::new() };
    let file = checked(&[(80, &[agent.address], health(kind))]);
    let service = &file.desired.services[0];
    let endpoint = Endpoint::of(service, &service.backends[0]);
    let report = |health: &Health| {
        let now = tokio::time::Instant::now().into_std();
        health.board().health(&service.id, endpoint, now).unwrap()
    };
    let mut first = Health::start(None);
    first.set_subjects(&file);
    let all = until(&mut first, to(BackendState::Drain)).await;
    assert_eq!(all.len(), 1);
    let address = agent.stop().await;
    // Without an await in between, no check says it again.
    first.set_subjects(&file);
    let mut next = Health::start(Some(first.saved()));
    next.set_subjects(&file);
    for health in [&first, &next] {
        let now = report(health);
        assert_eq!((now.state, now.weight), (BackendState::Drain, 0.5));
        assert_eq!(now.history.len(), 1, "{:?}", now.history);
    }
    // Another check, which has nothing to say about that: it takes flows.
    first.set_subjects(&checked(&[(80, &[address], health(CheckKind::Tcp))]));
    assert_eq!(report(&first).weight, 1.0);
}

#[tokio::test]
async fn waiting_for_changes_can_be_cancelled_at_any_time() {
    let server = Server::start(loopback()).await;
    let file = checked(&[(80, &[server.address], health(CheckKind::Tcp))]);
    let mut health = Health::start(None);
    health.set_subjects(&file);
    let deadline = tokio::time::Instant::now() + PATIENT;
    let mut all = Vec::new();
    while all.is_empty() {
        assert!(tokio::time::Instant::now() < deadline);
        if let Ok(changes) = timeout(Duration::from_micros(50), health.changes()).await {
            all.extend(changes.transitions);
        }
    }
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn a_slow_start_is_told_step_by_step() {
    let address = Server::start(loopback()).await.stop().await;
    let said = ServiceHealth {
        slow_start: Duration::from_millis(900),
        ..health(CheckKind::Tcp)
    };
    let file = checked(&[(80, &[address], said)]);
    let service = &file.desired.services[0];
    let mut health = Health::start(None);
    health.set_subjects(&file);
    until(&mut health, to(BackendState::Down)).await;
    let _server = Server::start(address).await;
    until(&mut health, to(BackendState::Starting)).await;
    let endpoint = Endpoint::of(service, &service.backends[0]);
    let mut weights = Vec::new();
    let rising = async {
        while weights.last() != Some(&1.0) {
            health.changes().await;
            let now = tokio::time::Instant::now().into_std();
            let report = health.board().health(&service.id, endpoint, now).unwrap();
            weights.push(report.weight);
        }
    };
    timeout(PATIENT, rising).await.unwrap();
    assert!(weights.is_sorted(), "{weights:?}");
}

#[tokio::test]
async fn a_slow_start_that_was_over_during_a_restart_is_told() {
    let address = Server::start(loopback()).await.stop().await;
    let slowly = |slow_start: u64| ServiceHealth {
        slow_start: Duration::from_millis(slow_start),
        ..health(CheckKind::Tcp)
    };
    let mut first = Health::start(None);
    first.set_subjects(&checked(&[(80, &[address], slowly(3_600_000))]));
    until(&mut first, to(BackendState::Down)).await;
    let _server = Server::start(address).await;
    until(&mut first, to(BackendState::Starting)).await;
    let mut next = Health::start(Some(first.saved()));
    next.set_subjects(&checked(&[(80, &[address], slowly(1))]));
    let all = until(&mut next, to(BackendState::Up)).await;
    assert_eq!(all[0].step.from, BackendState::Starting);
    assert_eq!(all[0].step.reason, "it has all of its weight again");
}

#[tokio::test]
async fn whatever_outlives_a_restart_is_to_be_saved_once() {
    let server = Server::saying("up 50%\n", loopback()).await;
    let mut said = health(CheckKind::Tcp);
    said.agent = Some(Check {
        port: Some(server.address.port()),
        ..check(CheckKind::Agent { send: Vec::new() })
    });
    let file = checked(&[(80, &[server.address], said)]);
    let mut health_ = Health::start(None);
    health_.set_subjects(&file);
    assert_eq!(health_.unsaved(), None);
    let news = async {
        let is_all = |saved: &Saved| {
            let text = serde_json::to_string(saved).unwrap();
            text.contains(r#""verdict":"up""#) && text.contains(r#""percent":50"#)
        };
        while !health_.unsaved().is_some_and(|saved| is_all(&saved)) {
            health_.changes().await;
        }
    };
    timeout(PATIENT, news).await.unwrap();
    // The same again, and again, is nothing new.
    let before = server.accepted.load(Ordering::Relaxed);
    let more = async {
        while server.accepted.load(Ordering::Relaxed) < before + 6 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENT, more).await.unwrap();
    assert_eq!(health_.unsaved(), None);
    // The agent is not asked any more.
    let alone = checked(&[(80, &[server.address], health(CheckKind::Tcp))]);
    health_.set_subjects(&alone);
    assert!(health_.unsaved().is_some());
    health_.set_subjects(&alone);
    assert_eq!(health_.unsaved(), None);
    let mut next = Health::start(Some(health_.saved()));
    next.set_subjects(&alone);
    assert_eq!(next.unsaved(), None);
    // Its backend is gone.
    next.set_subjects(&checked(&[]));
    assert_eq!(next.unsaved(), Some(Saved::default()));
}

#[tokio::test]
async fn dropping_the_handle_ends_every_check() {
    let server = Server::start(loopback()).await;
    let file = checked(&[(80, &[server.address], health(CheckKind::Tcp))]);
    let mut health = Health::start(None);
    health.set_subjects(&file);
    until(&mut health, to(BackendState::Up)).await;
    let shared = Arc::downgrade(&health.shared);
    drop(health);
    let gone = async {
        while shared.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENT, gone).await.unwrap();
}
