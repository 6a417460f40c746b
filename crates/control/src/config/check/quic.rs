//! Routing by QUIC connection ID: a service's settings and its backends' ids.

use std::collections::HashMap;

use engine::desired::{Protocol, QuicServerId};

use super::Checker;
use crate::config::limits::MAX_QUIC_SERVERS;
use crate::config::raw::{At, RawBackend, RawService};
use crate::config::source::Span;

impl Checker<'_> {
    pub(super) fn quic(&mut self, service: &RawService) {
        if let (Some(quic), Some(id)) = (&service.quic, &service.id)
            && id.value.protocol != Protocol::Udp
        {
            self.report(
                &quic.span,
                format!("`quic` in {}", id.value),
                "expected it only in a udp:// service: QUIC runs over UDP",
            );
        }
        let mut first = HashMap::new();
        for backend in service.backends.iter().chain(&service.health.sorry) {
            match (&service.quic, &backend.quic_server_id) {
                (Some(quic), Some(id)) => {
                    self.server_id(quic.value.server_id_length, id, &mut first);
                }
                (Some(_), None) => self.no_server_id(backend),
                (None, Some(id)) => self.report_help(
                    &id.span,
                    "`quic_server_id` in a service without `quic`",
                    "expected none",
                    "write quic = true in the service",
                ),
                (None, None) => {}
            }
        }
    }

    fn server_id(
        &mut self,
        length: u8,
        id: &At<QuicServerId>,
        first: &mut HashMap<QuicServerId, Span>,
    ) {
        let At { value, span } = id;
        self.quic_servers += 1;
        if self.quic_servers == MAX_QUIC_SERVERS + 1 {
            self.report(
                span,
                format!("more than {MAX_QUIC_SERVERS} QUIC server ids"),
                format!("expected at most {MAX_QUIC_SERVERS}, over all services"),
            );
        }
        let found = value.as_bytes().len();
        if found != usize::from(length) {
            self.report_help(
                span,
                format!("server id of {found} bytes"),
                format!("expected {length} bytes, which are {} digits", 2 * length),
                format!("or write quic = {{ server_id_length = {found} }} in the service"),
            );
        } else if let Some(earlier) = first.get(value) {
            let mention = self.source.mention(earlier);
            self.report(
                span,
                format!("server id {value} is given twice"),
                format!("expected one of its own for each backend; first {mention}"),
            );
        } else {
            first.insert(*value, span.clone());
        }
    }

    fn no_server_id(&mut self, backend: &RawBackend) {
        let address = backend.address.value;
        self.report_help(
            &backend.address.span,
            format!("backend {address} has no `quic_server_id`"),
            "expected one, because its service has `quic`",
            format!("write {{ address = \"{address}\", quic_server_id = \"0a0b0c0d\" }}"),
        );
    }
}
