//! What is looked at, and what keys do to it. Pure: a key in, perhaps a [`Request`] out.

use std::time::Duration;

use control::status::{BackendStatus, ServiceStatus, Status};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::Model;

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Quit,
    Drain(Drain),
}

/// A backend is to take no new flows, or to take them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    pub(super) service: String,
    pub(super) backend: String,
    /// Whether it is to drain.
    pub(super) on: bool,
}

/// What the services are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Packets,
    NewFlows,
    Name,
    Configured,
}

impl Order {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Packets => "by packets/s",
            Self::NewFlows => "by new flows/s",
            Self::Name => "by name",
            Self::Configured => "as configured",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Packets => Self::NewFlows,
            Self::NewFlows => Self::Name,
            Self::Name => Self::Configured,
            Self::Configured => Self::Packets,
        }
    }
}

/// Who gets the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Focus {
    /// The list that is shown.
    #[default]
    List,
    /// The filter is being typed.
    Filter,
    /// The page of keys; any key closes it.
    Help,
}

/// Everything that a frame is drawn from.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) model: Model,
    pub(super) order: Order,
    pub(super) focus: Focus,
    pub(super) filter: String,
    pub(super) is_paused: bool,
    /// One service with its backends, instead of all.
    pub(super) is_open: bool,
    /// What came of the last request.
    pub(super) message: Option<String>,
    /// Why there is no news of the instance.
    pub(super) problem: Option<String>,
    /// The chosen service and backend, by name: they stay chosen wherever they go.
    service: Option<String>,
    backend: Option<String>,
}

impl App {
    /// The services that are shown, in their order, as indices of the status.
    pub(super) fn services(&self) -> Vec<usize> {
        let Some(status) = self.model.status() else {
            return Vec::new();
        };
        let filter = self.filter.to_lowercase();
        let fits = |service: &ServiceStatus| {
            let backends = service.backends.iter();
            let mut names = backends
                .map(|backend| &backend.address)
                .chain([&service.service]);
            filter.is_empty() || names.any(|name| name.to_lowercase().contains(&filter))
        };
        let all = status.services.iter().enumerate();
        let fitting = all.filter(|(_, service)| fits(service));
        let mut shown: Vec<usize> = fitting.map(|(index, _)| index).collect();
        let rate = |index: usize| self.model.service(index).map(|rates| rates.all);
        match self.order {
            Order::Configured => {}
            Order::Name => shown.sort_by_key(|&index| &status.services[index].service),
            Order::Packets | Order::NewFlows => shown.sort_by(|&a, &b| {
                let key = |index| {
                    rate(index).map_or(0.0, |all| match self.order {
                        Order::NewFlows => all.new_flows,
                        _ => all.both_ways(),
                    })
                };
                // Equals stay as configured, so that a quiet list does not dance.
                key(b).total_cmp(&key(a))
            }),
        }
        shown
    }

    /// Where the chosen service stands among `shown`.
    pub(super) fn place(&self, shown: &[usize]) -> usize {
        let services = self
            .model
            .status()
            .map_or(&[][..], |status| &status.services);
        let is_chosen = |&index: &usize| {
            let service = services.get(index);
            service.is_some_and(|service| Some(&service.service) == self.service.as_ref())
        };
        shown.iter().position(is_chosen).unwrap_or(0)
    }

    /// Takes a status over; `at` is the time since any one moment.
    pub(super) fn take(&mut self, at: Duration, status: Status) {
        self.problem = None;
        if self.is_paused {
            return;
        }
        self.model.take(at, status);
        if self.is_open && self.chosen().is_none() {
            self.is_open = false;
            let gone = self.service.take().unwrap_or_default();
            self.message = Some(format!("{gone} is gone"));
        }
    }

    /// The chosen service, as an index of the status. One that is open is chosen whatever the
    /// filter and the order are.
    pub(super) fn chosen(&self) -> Option<usize> {
        if self.is_open {
            let mut services = self.model.status()?.services.iter();
            return services.position(|service| Some(&service.service) == self.service.as_ref());
        }
        let shown = self.services();
        shown.get(self.place(&shown)).copied()
    }

    /// The chosen service.
    pub(super) fn chosen_service(&self) -> Option<&ServiceStatus> {
        self.model.status()?.services.get(self.chosen()?)
    }

    /// Where the chosen backend stands among its service's.
    pub(super) fn backend_place(&self, backends: &[BackendStatus]) -> usize {
        let is_chosen = |backend: &BackendStatus| Some(&backend.address) == self.backend.as_ref();
        backends.iter().position(is_chosen).unwrap_or(0)
    }

    /// What a key does.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Request> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(Request::Quit);
        }
        match self.focus {
            Focus::Help => {
                self.focus = Focus::List;
                None
            }
            Focus::Filter => {
                self.type_filter(key.code);
                None
            }
            Focus::List => {
                self.message = None;
                self.press_in_list(key.code)
            }
        }
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.focus = Focus::List,
            KeyCode::Esc => {
                self.filter.clear();
                self.focus = Focus::List;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if !c.is_control() => self.filter.push(c),
            _ => {}
        }
    }

    fn press_in_list(&mut self, key: KeyCode) -> Option<Request> {
        match key {
            KeyCode::Char('q') => return Some(Request::Quit),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-10),
            KeyCode::PageDown => self.step(10),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Enter | KeyCode::Right if !self.is_open => self.open(),
            KeyCode::Enter | KeyCode::Left | KeyCode::Esc if self.is_open => self.is_open = false,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('/') => {
                self.is_open = false;
                self.focus = Focus::Filter;
            }
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Char('?') => self.focus = Focus::Help,
            KeyCode::Char('d') => return self.drain(true),
            KeyCode::Char('u') => return self.drain(false),
            _ => {}
        }
        None
    }

    fn open(&mut self) {
        // What is open stays so when another one overtakes it.
        self.service = self.chosen_service().map(|service| service.service.clone());
        self.is_open = self.service.is_some();
        self.backend = None;
    }

    /// Moves the choice by so many lines, as far as there are any.
    fn step(&mut self, by: isize) {
        let moved = |place: usize, length: usize| {
            let last = length.saturating_sub(1);
            place.saturating_add_signed(by).min(last)
        };
        if self.is_open {
            let Some(service) = self.chosen_service() else {
                return;
            };
            let place = moved(
                self.backend_place(&service.backends),
                service.backends.len(),
            );
            let backend = service.backends.get(place);
            self.backend = backend.map(|backend| backend.address.clone());
            return;
        }
        let shown = self.services();
        let place = moved(self.place(&shown), shown.len());
        let index = shown.get(place).copied();
        let service = index.and_then(|index| self.model.status()?.services.get(index));
        self.service = service.map(|service| service.service.clone());
    }

    fn drain(&mut self, on: bool) -> Option<Request> {
        if !self.is_open {
            self.message = Some("open a service with Enter and choose one of its backends".into());
            return None;
        }
        let service = self.chosen_service()?;
        let backend = service
            .backends
            .get(self.backend_place(&service.backends))?;
        Some(Request::Drain(Drain {
            service: service.service.clone(),
            backend: backend.address.clone(),
            on,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, packets: u64, backends: &[&str]) -> ServiceStatus {
        let backend = |address: &&str| BackendStatus {
            address: (*address).into(),
            packets,
            new_flows: 100 - packets,
            ..BackendStatus::default()
        };
        ServiceStatus {
            service: name.into(),
            backends: backends.iter().map(backend).collect(),
            ..ServiceStatus::default()
        }
    }

    fn status(packets: [u64; 3]) -> Status {
        Status {
            services: vec![
                service("tcp://b:1", packets[0], &["10.0.0.2:1", "10.0.0.3:1"]),
                service("tcp://a:1", packets[1], &["10.0.0.4:1"]),
                service("udp://c:1", packets[2], &["10.0.0.5:1"]),
            ],
            ..Status::default()
        }
    }

    /// An app that knows rates of 10, 30 and 20.
    fn app() -> App {
        let mut app = App::default();
        app.take(Duration::ZERO, status([0; 3]));
        app.take(Duration::from_secs(1), status([5, 30, 20]));
        app
    }

    fn press(app: &mut App, codes: &[KeyCode]) -> Option<Request> {
        let mut last = None;
        for code in codes {
            last = app.press(KeyEvent::new(*code, KeyModifiers::NONE));
        }
        last
    }

    fn typed(app: &mut App, text: &str) -> Option<Request> {
        let codes: Vec<KeyCode> = text.chars().map(KeyCode::Char).collect();
        press(app, &codes)
    }

    fn names(app: &App) -> Vec<&str> {
        let services = &app.model.status().unwrap().services;
        let shown = app.services();
        shown
            .iter()
            .map(|&index| &*services[index].service)
            .collect()
    }

    #[test]
    fn services_are_sorted_by_what_s_says() {
        let mut app = app();
        assert_eq!(names(&app), ["tcp://a:1", "udp://c:1", "tcp://b:1"]);
        typed(&mut app, "s");
        assert_eq!(names(&app), ["tcp://b:1", "udp://c:1", "tcp://a:1"]);
        typed(&mut app, "s");
        assert_eq!(names(&app), ["tcp://a:1", "tcp://b:1", "udp://c:1"]);
        typed(&mut app, "s");
        assert_eq!(names(&app), ["tcp://b:1", "tcp://a:1", "udp://c:1"]);
        typed(&mut app, "s");
        assert_eq!(app.order, Order::Packets);
    }

    #[test]
    fn the_choice_stays_with_its_service_when_others_overtake_it() {
        let mut app = app();
        typed(&mut app, "j");
        assert_eq!(app.chosen_service().unwrap().service, "udp://c:1");
        app.take(Duration::from_secs(2), status([90, 31, 21]));
        assert_eq!(names(&app), ["tcp://b:1", "tcp://a:1", "udp://c:1"]);
        assert_eq!(app.chosen_service().unwrap().service, "udp://c:1");
        press(&mut app, &[KeyCode::PageDown, KeyCode::Up]);
        assert_eq!(app.chosen_service().unwrap().service, "tcp://a:1");
        press(&mut app, &[KeyCode::Home, KeyCode::Up]);
        assert_eq!(app.chosen_service().unwrap().service, "tcp://b:1");
        press(&mut app, &[KeyCode::End, KeyCode::Down]);
        assert_eq!(app.chosen_service().unwrap().service, "udp://c:1");
    }

    #[test]
    fn a_filter_is_looked_for_in_services_and_their_backends() {
        let mut app = app();
        assert_eq!(typed(&mut app, "/UDPq"), None);
        assert_eq!(names(&app), [""; 0]);
        press(&mut app, &[KeyCode::Backspace]);
        assert_eq!(names(&app), ["udp://c:1"]);
        press(&mut app, &[KeyCode::Esc]);
        assert_eq!(names(&app).len(), 3);
        typed(&mut app, "/10.0.0.3");
        press(&mut app, &[KeyCode::Enter]);
        assert_eq!(names(&app), ["tcp://b:1"]);
        assert_eq!(typed(&mut app, "q"), Some(Request::Quit));
    }

    #[test]
    fn only_a_backend_that_is_seen_can_be_drained() {
        let mut app = app();
        assert_eq!(typed(&mut app, "d"), None);
        assert!(app.message.is_some());
        press(&mut app, &[KeyCode::End, KeyCode::Enter, KeyCode::Down]);
        let drain = |on| {
            Some(Request::Drain(Drain {
                service: "tcp://b:1".into(),
                backend: "10.0.0.3:1".into(),
                on,
            }))
        };
        assert_eq!(typed(&mut app, "d"), drain(true));
        // Wherever its service is by now.
        app.take(Duration::from_secs(2), status([90, 31, 21]));
        assert_eq!(typed(&mut app, "u"), drain(false));
        // Until it is gone.
        app.take(Duration::from_secs(3), Status::default());
        assert_eq!(typed(&mut app, "d"), None);
        assert!(!app.is_open);
    }

    #[test]
    fn a_pause_keeps_what_is_seen() {
        let mut app = app();
        typed(&mut app, "p");
        app.take(Duration::from_secs(2), Status::default());
        assert_eq!(names(&app).len(), 3);
        typed(&mut app, "p");
        app.take(Duration::from_secs(3), Status::default());
        assert_eq!(names(&app).len(), 0);
    }

    #[test]
    fn any_key_leaves_the_help_and_control_c_everything() {
        let mut app = app();
        assert_eq!(typed(&mut app, "?q"), None);
        assert_eq!(app.focus, Focus::List);
        typed(&mut app, "?");
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(app.press(control_c), Some(Request::Quit));
    }
}
