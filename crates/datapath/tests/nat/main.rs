//! What `nat` keeps of a flow, and what it does when entries go missing or other CPUs interfere.

#![forbid(unsafe_code)]

mod bookkeeping;
mod conversation;
mod half_open;
mod orphaned;
mod races;
