//! Why a packet met its verdict.

/// Declares a set of reasons once: the enum, the names, the explanations and what is done, which is
/// a variant of `$action`.
macro_rules! reasons {
    ($reason:ident, $action:ident: $($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $done:ident;)+) => {
        /// Why a packet met its verdict. The number is the index of its counter, the name is what
        /// metrics, `replay`, `explain` and `status` print.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $reason {
            /// Every reason, in the order of the numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Number of reasons.
            pub const COUNT: usize = Self::ALL.len();

            /// The reason with this number.
            #[must_use]
            pub fn from_number(number: u32) -> Option<Self> {
                Self::ALL.get(number as usize).copied()
            }

            /// The reason with this name; `None`: it is of another version, if of any.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.name() == name)
            }

            /// What is done with such a packet.
            #[inline(always)]
            #[must_use]
            pub const fn action(self) -> $action {
                match self {
                    $(Self::$variant => $action::$done,)+
                }
            }

            /// Its name, in snake case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// One sentence for the reader of `status` and `explain`.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}
pub(crate) use reasons;

/// What is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Goes to the host's own stack, untouched.
    Pass,
    /// Leaves rewritten: by the interface it came from (`XDP_TX`) or another (`XDP_REDIRECT`).
    Forward,
    /// Is dropped.
    Drop,
}

reasons! {
    Reason, Action:
    /// Neither IPv4 nor IPv6: ARP and everything else the host handles itself.
    NotIp = "not_ip", Pass;
    /// More VLAN tags than the two that are looked behind.
    TooManyTags = "too_many_tags", Pass;
    /// The frame ends before its headers do.
    Truncated = "truncated", Pass;
    /// The IPv4 header contradicts itself: version, header length or total length.
    BadIpv4Header = "bad_ipv4_header", Pass;
    /// The IPv6 header contradicts itself: version or payload length.
    BadIpv6Header = "bad_ipv6_header", Pass;
    /// More IPv6 extension headers than the four that are walked over.
    TooManyExtensions = "too_many_extensions", Pass;
    /// A transport protocol that no service can have.
    OtherProtocol = "other_protocol", Pass;
    /// No service has this destination, and it belongs to no flow.
    NotForService = "not_for_service", Pass;
    /// A later fragment to an address of services or of mode nat whose first fragment has not been seen.
    LaterFragment = "later_fragment", Pass;
    /// ICMP that the host handles itself: no echo request to an answering VIP and no error about a flow.
    IcmpForHost = "icmp_for_host", Pass;
    /// Came back from a backend, got the service's address, and the host's own stack finds the way to the client.
    RepliedByHost = "replied_by_host", Pass;
    /// Belongs to a flow, or to the backend of its slot, and went there.
    Forwarded = "forwarded", Forward;
    /// Started a flow and went to the backend of its slot.
    NewFlow = "new_flow", Forward;
    /// Came back from a backend and went to its client.
    Replied = "replied", Forward;
    /// Went to its backend, but the table of established flows is full and the flow stays among the half-open ones.
    ForwardedTableFull = "forwarded_table_full", Forward;
    /// Older than its slot's change: entered in the exception table with the backend it had, and went there.
    KeptByPrevious = "kept_by_previous", Forward;
    /// Its slot is changing and the exception table has no room or no pace left: went where it would without an entry.
    NotEntered = "not_entered", Forward;
    /// Went to the backend that its QUIC connection ID names.
    ForwardedByConnectionId = "forwarded_by_connection_id", Forward;
    /// Its QUIC connection ID names no backend that is alive: went where its 4-tuple leads.
    UnknownConnectionId = "unknown_connection_id", Forward;
    /// An echo request to a VIP, answered.
    EchoAnswered = "echo_answered", Forward;
    /// An ICMP error about a flow of a service, sent to the flow's backend.
    IcmpForwarded = "icmp_forwarded", Forward;
    /// An ICMP error about a flow of a service, sent to the flow's client.
    IcmpReplied = "icmp_replied", Forward;
    /// Larger than the way to its backend allows: answered with the size that fits.
    TooBig = "too_big", Forward;
    /// Its service has no backend that takes it: answered with a TCP reset or ICMP "port unreachable".
    Rejected = "rejected", Forward;
    /// Larger than the way to its backend allows, and too many were answered already.
    TooBigUnanswered = "too_big_unanswered", Drop;
    /// An ICMP error that quotes a flow nobody knows.
    IcmpNoFlow = "icmp_no_flow", Drop;
    /// TCP to a service, of no known flow and not a SYN.
    NoFlow = "no_flow", Drop;
    /// Its service has no backend that takes it, and it is not refused either: the service drops, too many were refused already, or it may have no answer.
    NoBackend = "no_backend", Drop;
    /// The backend's next hop has no known address (no answer to ARP or neighbour solicitation, or no route).
    NextHopUnknown = "next_hop_unknown", Drop;
    /// Every source port tried for a new flow to this backend is taken.
    PortsExhausted = "ports_exhausted", Drop;
    /// The tables have no room for another half-open flow.
    FlowTableFull = "flow_table_full", Drop;
    /// The packet has no hops left (TTL or hop limit 1 or 0).
    TtlExceeded = "ttl_exceeded", Drop;
    /// The frame has no room for an outer header, or could not be made shorter.
    NoHeadroom = "no_headroom", Drop;
    /// A table lacks an entry that another one refers to: a bug, please report it.
    Inconsistent = "inconsistent", Drop;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_explanations_agree() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert_eq!(Reason::from_number(index as u32), Some(*reason));
            assert_eq!(Reason::named(reason.name()), Some(*reason));
            assert!(
                reason
                    .name()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(
                reason.explanation().ends_with('.')
                    || reason.explanation().ends_with(')')
                    || reason.explanation().contains("report")
            );
        }
        assert_eq!(Reason::from_number(Reason::COUNT as u32), None);
        assert_eq!(Reason::named("of_tomorrow"), None);
    }
}
