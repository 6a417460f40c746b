use std::time::Duration;

use control::status::{
    BackendStatus, FlowStatus, InterfaceStatus, ServiceStatus, Status, TransitionStatus,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::super::app::Request;
use super::*;

fn service(number: u64, backends: u64, mode: &str) -> ServiceStatus {
    let backend = |at: u64| BackendStatus {
        address: format!("10.0.{number}.{}:8000", at + 2),
        state: ["up", "up", "drain", "unreachable", "leaving", "down"][at as usize % 6].into(),
        weight: 1 + at as u32,
        share: 1.0 / backends as f64,
        ..BackendStatus::default()
    };
    ServiceStatus {
        service: match number {
            0 => "tcp://10.0.0.10:8000".into(),
            1 => "udp://10.0.0.10:53".into(),
            2 => "tcp://[2001:db8:1234:5678:9abc:def0:1234:5678]:443".into(),
            other => format!("tcp://10.0.0.{other}:443"),
        },
        mode: mode.into(),
        affinity: "none".into(),
        slots: 1024,
        slots_changing: number as u32 % 2 * 40,
        backends: (0..backends).map(backend).collect(),
        ..ServiceStatus::default()
    }
}

/// What an instance says in each second: every counter has a pace of its own.
fn status(second: u64) -> Status {
    let mut services = vec![
        service(0, 2, "nat"),
        service(1, 4, "dnat"),
        service(2, 7, "ipip"),
        service(3, 1, "l2-dsr"),
    ];
    for (number, service) in services.iter_mut().enumerate() {
        for (at, backend) in service.backends.iter_mut().enumerate() {
            // Faster from second to second.
            let pace = (7 * number as u64 + at as u64 + 1) % 5 * second * (second + 20);
            backend.packets = 40 * pace;
            backend.bytes = 30_000 * pace;
            backend.new_flows = pace;
            backend.reply_packets = 50 * pace;
            backend.reply_bytes = 1_000 * pace;
        }
    }
    let reasons = [
        ("not_ip", 2 * second),
        ("new_flow", 300 * second),
        ("forwarded", 40_000 * second),
        ("replied", 50_000 * second),
        ("next_hop_unknown", 5 * second),
        ("no_flow", 3),
        ("truncated", 0),
    ];
    Status {
        instance: "ek-tutorial-lb".into(),
        version: "0.1.0".into(),
        uptime_seconds: 7_500 + second,
        interfaces: vec![InterfaceStatus {
            name: "veth6".into(),
            index: 2,
            mac: None,
            mode: "native".into(),
            native_refused: None,
        }],
        services,
        flows: FlowStatus {
            established: 123_456,
            established_limit: 262_144,
            half_open: 12,
            half_open_limit: 32_768,
        },
        transitions: TransitionStatus {
            slots_in_transition: 30,
            slots_settling: 10,
            backends_leaving: 1,
            exceptions: 77,
            ..TransitionStatus::default()
        },
        reasons: reasons.map(|(reason, count)| (reason.into(), count)).into(),
        ..Status::default()
    }
}

/// An app that has seen this many seconds.
fn app(seconds: u64) -> App {
    let mut app = App::default();
    for second in 0..seconds {
        app.take(Duration::from_secs(second), status(second));
    }
    app
}

fn press(app: &mut App, keys: &str) -> Option<Request> {
    let mut last = None;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\x08' => KeyCode::Backspace,
            '<' => KeyCode::Up,
            '>' => KeyCode::Down,
            key => KeyCode::Char(key),
        };
        last = app.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    last
}

fn buffer(app: &App, width: u16, height: u16, palette: Palette) -> Buffer {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    terminal.draw(|frame| draw(frame, app, palette)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(app: &App, width: u16, height: u16) -> String {
    let buffer = buffer(app, width, height, Palette::new(true));
    let symbols: Vec<&str> = buffer.content().iter().map(Cell::symbol).collect();
    let lines = symbols.chunks(usize::from(width));
    lines
        .map(|line| line.concat().trim_end().to_owned() + "\n")
        .collect()
}

/// Compares frames with what they were; `UPDATE_EXPECT=1` writes them: read the diff then.
fn assert_frame(name: &str, found: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands/top/view/tests");
    let path = std::path::Path::new(folder).join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{name} is now\n{found}\nand was\n{expected}"
    );
}

#[test]
fn frames_of_all_sizes_are_as_they_were() {
    let app = app(30);
    for (width, height) in [(80, 24), (40, 10), (200, 60)] {
        assert_frame(&format!("all_{width}x{height}"), &text(&app, width, height));
    }
}

#[test]
fn frames_of_one_service_are_as_they_were() {
    let mut app = app(30);
    press(&mut app, "s/2001\n\n>>");
    for (width, height) in [(80, 24), (40, 10), (120, 40)] {
        assert_frame(
            &format!("open_{width}x{height}"),
            &text(&app, width, height),
        );
    }
}

#[test]
fn other_frames_are_as_they_were() {
    let mut help = app(2);
    press(&mut help, "?");
    assert_frame("help_80x24", &text(&help, 80, 24));
    let mut filter = app(2);
    press(&mut filter, "/udp");
    assert_frame("filter_80x24", &text(&filter, 80, 24));
    // Nothing is known of rates yet, and nobody answers.
    let mut first = app(1);
    first.problem = Some("no instance ek-tutorial-lb is running".into());
    assert_frame("first_80x24", &text(&first, 80, 24));
    assert_frame("nothing_80x24", &text(&App::default(), 80, 24));
    let mut idle = App::default();
    idle.take(Duration::ZERO, Status::default());
    press(&mut idle, "p");
    assert_frame("idle_80x24", &text(&idle, 80, 24));
}

#[test]
fn every_line_of_an_eighty_column_frame_fits() {
    let mut app = app(30);
    for keys in ["", "\n", "\x1b?", "q/x"] {
        press(&mut app, keys);
        let frame = text(&app, 80, 24);
        // But for the headline of the service with the longest name that there can be.
        for line in frame
            .lines()
            .filter(|line| !line.starts_with("Backends of tcp://["))
        {
            assert!(!line.ends_with('…'), "{line}");
        }
    }
}

#[test]
fn the_list_scrolls_with_the_choice() {
    let mut app = app(3);
    for _ in 0..3 {
        press(&mut app, "j");
        let frame = text(&app, 80, 10);
        let chosen = &app.chosen_service().unwrap().service;
        assert!(
            frame.contains(&chosen[..20.min(chosen.len())]),
            "{chosen}: {frame}"
        );
    }
}

#[test]
fn drops_are_red_and_without_colours_there_are_none() {
    let app = app(3);
    let coloured = buffer(&app, 80, 40, Palette::new(true));
    let red = |cell: &&Cell| cell.fg == Color::Red;
    let lines: Vec<String> = coloured
        .content()
        .chunks(80)
        .filter(|line| red(&&line[0]))
        .map(|line| line.iter().map(Cell::symbol).collect())
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("next_hop_unknown"), "{lines:?}");
    let plain = buffer(&app, 80, 40, Palette::new(false));
    let cells = || plain.content().iter();
    assert!(cells().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(cells().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
}

#[test]
fn lines_are_shared_out_in_turns() {
    assert_eq!(share(10, &[2, 20, 3]), [2, 5, 3]);
    assert_eq!(share(10, &[4, 4, 4]), [4, 3, 3]);
    assert_eq!(share(100, &[4, 4, 4]), [4, 4, 4]);
    assert_eq!(share(0, &[4]), [0]);
    assert_eq!(share(3, &[]), [0; 0]);
}

/// Numbers that look random; the seed is printed by the test that fails.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn no_size_and_no_keys_are_too_much() {
    let keys: Vec<char> = "jk<>\n\x1b\x08/sdup?xé漢1:.".chars().collect();
    let seed = 0x6576_656e_6b65_656c;
    let mut dice = Dice(seed);
    for game in 0..300 {
        let mut app = App::default();
        for second in 0..20 {
            if dice.roll(4) > 0 {
                let mut news = status(second * dice.roll(3));
                news.services.truncate(dice.roll(6) as usize);
                for service in &mut news.services {
                    service.backends.truncate(dice.roll(9) as usize);
                }
                app.take(Duration::from_millis(700 * second), news);
            }
            let key = keys[dice.roll(keys.len() as u64) as usize];
            let request = press(&mut app, &key.to_string());
            let (width, height) = (dice.roll(230) as u16, dice.roll(70) as u16);
            buffer(&app, width, height, Palette::new(true));
            if let Some(Request::Drain(drain)) = request {
                let chosen = app.chosen_service().unwrap();
                assert_eq!(chosen.service, drain.service, "game {game} of seed {seed}");
            }
        }
    }
    for (width, height) in [
        (0, 0),
        (1, 1),
        (0, 5),
        (5, 0),
        (1, 300),
        (300, 1),
        (2, 2),
        (3, 4),
    ] {
        buffer(&app(3), width, height, Palette::new(true));
    }
}
