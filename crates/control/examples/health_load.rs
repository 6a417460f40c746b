//! What health checks cost: 2,000 backends, each checked once a second, against servers on
//! loopback in another thread.
//!
//! ```sh
//! cargo run --release -p evenkeel-control --example health_load -- tcp     # or http
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::desired::{Backend, Desired, Protocol, Service, ServiceId, ServicePort};
use evenkeel_control::config::Checked;
use evenkeel_control::health::{
    Check, CheckKind, Health, HttpCheck, ServiceHealth, State, Timing, Via,
};
use nix::sys::resource::{UsageWho, getrusage};

const SERVICES: u8 = 20;
const BACKENDS: u8 = 100;
const LASTING: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let word = std::env::args().nth(1).unwrap_or_else(|| "tcp".to_owned());
    let kind = match word.as_str() {
        "tcp" => CheckKind::Tcp,
        "http" => CheckKind::Http(HttpCheck::default()),
        other => return Err(format!("expected tcp or http, found {other}").into()),
    };
    let answered = Arc::new(AtomicU64::new(0));
    let ending = Arc::new(AtomicBool::new(false));
    let port = serve(kind != CheckKind::Tcp, &answered, &ending)?;
    let checked = checked(port, &kind);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut health = Health::start(None);
        health.set_subjects(&checked);
        let all = usize::from(SERVICES) * usize::from(BACKENDS);
        while health.board().count(State::Up, Instant::now()) < all {
            health.changes().await;
        }
        // The first runs are behind; the second ones spread over a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (before, begun) = (cpu()?, Instant::now());
        let answers = answered.load(Ordering::Relaxed);
        while let Some(left) = LASTING.checked_sub(begun.elapsed()) {
            // As the run loop does.
            let _ = tokio::time::timeout(left, health.changes()).await;
        }
        let (took, used) = (begun.elapsed(), cpu()? - before);
        let runs = answered.load(Ordering::Relaxed) - answers;
        let up = health.board().count(State::Up, Instant::now());
        println!(
            "{word}: {} checks, {:.0} runs a second, {:.1} % of a core, {:.1} us each; {up} of {all} up",
            health.checks(),
            runs as f64 / took.as_secs_f64(),
            100.0 * used.as_secs_f64() / took.as_secs_f64(),
            used.as_secs_f64() * 1e6 / runs as f64,
        );
        // The servers go, and refuse connections from now on.
        ending.store(true, Ordering::Relaxed);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        let gone = Instant::now();
        while health.board().count(State::Down, Instant::now()) < all {
            health.changes().await;
        }
        println!("{word}: all down {:?} after they went, 3 failures a second apart", gone.elapsed());
        Ok(())
    })
}

/// CPU time of this thread: the servers have others.
fn cpu() -> Result<Duration, nix::Error> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let time = [usage.user_time(), usage.system_time()];
    let micros = time.map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(micros.iter().sum::<i64>() as u64))
}

/// Accepts on every address of 127.0.0.0/8 until `ending`, and answers if `http`; its port.
fn serve(http: bool, answered: &Arc<AtomicU64>, ending: &Arc<AtomicBool>) -> std::io::Result<u16> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    let (answered, ending) = (Arc::clone(answered), Arc::clone(ending));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if ending.load(Ordering::Relaxed) {
                return;
            }
            if http {
                let mut head = [0; 1_024];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok(port)
}

fn checked(port: u16, kind: &CheckKind) -> Checked {
    let mut services = Vec::new();
    let mut health = BTreeMap::new();
    for number in 1..=SERVICES {
        let id = ServiceId {
            protocol: Protocol::Tcp,
            address: IpAddr::from([10, 0, 0, number]).into(),
            port: ServicePort::Exact(80),
        };
        let backend = |last| Backend {
            port: Some(port),
            ..Backend::new(Ipv4Addr::new(127, 1, number, last))
        };
        services.push(Service::new(id, (1..=BACKENDS).map(backend).collect()));
        let check = Check {
            kind: kind.clone(),
            address: None,
            port: None,
            via: Via::Direct,
            timing: Timing {
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                jitter_permille: 0,
                ..Timing::default()
            },
        };
        let said = ServiceHealth {
            check: Some(check),
            ..ServiceHealth::default()
        };
        health.insert(id, said);
    }
    Checked {
        desired: Desired {
            services,
            ..Desired::default()
        },
        health,
        ..Checked::default()
    }
}
