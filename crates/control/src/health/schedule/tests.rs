//! With time that stands still until everybody waits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::time::sleep;

use super::*;
use crate::health::machine::{Machine, Memory, Moment, Role, Rules, State};
use crate::health::outcome::Found;

const INTERVAL: Duration = Duration::from_secs(2);

fn schedule(jitter_permille: u16, first: usize) -> Schedule {
    Schedule {
        pace: Pace {
            interval: INTERVAL,
            timeout: Duration::from_secs(1),
            jitter_permille,
        },
        first: Arc::new(Semaphore::new(first)),
    }
}

/// Runs a check for so long; when it was run, in milliseconds.
async fn times(jitter_permille: u16, lasting: Duration, takes: Duration) -> Vec<u64> {
    let (begun, times) = (Instant::now(), RefCell::new(Vec::new()));
    let check = async || {
        times.borrow_mut().push(begun.elapsed().as_millis() as u64);
        sleep(takes).await;
        Found::Good(String::new()).took(takes)
    };
    let run = schedule(jitter_permille, 1).run(check, |_| ());
    assert!(timeout(lasting, run).await.is_err());
    times.into_inner()
}

#[tokio::test(start_paused = true)]
async fn runs_come_at_the_interval_after_a_first_one_at_once() {
    let times = times(0, Duration::from_secs(100), Duration::ZERO).await;
    assert_eq!(times[0], 0);
    assert!(times[1] <= 2_000);
    for pair in times[1..].windows(2) {
        // Timers count whole milliseconds.
        assert!((2_000..=2_001).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_makes_runs_earlier_and_never_later() {
    let times = times(500, Duration::from_secs(2_000), Duration::from_millis(10)).await;
    let gaps: Vec<u64> = times[1..]
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    assert!(
        gaps.iter().all(|gap| (1_000..=2_001).contains(gap)),
        "{gaps:?}"
    );
    let (shortest, longest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(
        *shortest < 1_200 && *longest > 1_800,
        "{shortest} {longest}"
    );
}

#[tokio::test(start_paused = true)]
async fn phases_are_spread_over_the_interval() {
    let mut seconds = Vec::new();
    for _ in 0..400 {
        seconds.push(
            times(0, INTERVAL, Duration::ZERO)
                .await
                .get(1)
                .copied()
                .unwrap_or(2_000),
        );
    }
    for quarter in 0..4 {
        let within = quarter * 500..(quarter + 1) * 500;
        let count = seconds.iter().filter(|at| within.contains(*at)).count();
        assert!((50..150).contains(&count), "{count} in {within:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silent_backends_do_not_hold_up_the_first_check_of_others_for_longer_than_an_interval() {
    let first = Arc::new(Semaphore::new(1));
    let ran = Rc::new(Cell::new(None));
    let begun = Instant::now();
    let with = |first: &Arc<Semaphore>| Schedule {
        first: Arc::clone(first),
        ..schedule(0, 0)
    };
    let silent = with(&first).run(async || std::future::pending().await, |_| ());
    let answers = {
        let ran = Rc::clone(&ran);
        with(&first).run(
            async move || {
                ran.set(ran.get().or(Some(begun.elapsed())));
                Found::Good(String::new()).took(Duration::ZERO)
            },
            |_| (),
        )
    };
    let both = async { tokio::join!(silent, answers) };
    assert!(timeout(INTERVAL * 2, both).await.is_err());
    assert!(ran.get().unwrap() <= INTERVAL + Duration::from_millis(1));
}

/// A backend answers, then is gone at a random moment: how long until its state is down.
async fn time_to_down(fall: u8, jitter_permille: u16, refuses_after: Duration) -> Duration {
    let rules = Rules {
        rise: 2,
        fall,
        slow_start: Duration::ZERO,
    };
    let machine = RefCell::new(Machine::new(Memory::default(), rules));
    let begun = Instant::now();
    let dies = INTERVAL * 5 + INTERVAL.mul_f64(Random::new().part());
    let down = Cell::new(None);
    let check = async || {
        if begun.elapsed() < dies {
            return Found::Good(String::new()).took(Duration::ZERO);
        }
        sleep(refuses_after).await;
        Found::Bad(String::new()).took(refuses_after)
    };
    let report = |outcome: &Outcome| {
        let now = Moment {
            at: Instant::now().into_std(),
            unix_ms: 0,
        };
        let mut machine = machine.borrow_mut();
        machine.observe(Role::Check, outcome, now);
        if machine.state(now.at) == State::Down && down.get().is_none() {
            down.set(Some(begun.elapsed() - dies));
        }
    };
    let run = schedule(jitter_permille, 1).run(check, report);
    assert!(timeout(INTERVAL * 50, run).await.is_err());
    down.get().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dead_backend_is_down_within_fall_intervals_and_a_timeout() {
    let timer = Duration::from_millis(10);
    for round in 0..200_u8 {
        let (fall, jitter) = (1 + round % 5, u16::from(round % 6) * 100);
        let refused = time_to_down(fall, jitter, Duration::ZERO).await;
        assert!(
            refused <= INTERVAL * fall.into() + timer,
            "{refused:?} {fall} {jitter}"
        );
        let silent = time_to_down(fall, jitter, Duration::from_secs(1)).await;
        let bound = INTERVAL * fall.into() + Duration::from_secs(1) + timer;
        assert!(silent <= bound, "{silent:?} {fall} {jitter}");
    }
}
