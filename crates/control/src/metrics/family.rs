//! Families of samples, written one after the other.

use std::fmt::Error;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

/// Names and values of a sample's labels.
pub(super) type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

/// What only rises, until it begins anew: what is counted in maps with them, what a process counts
/// with the process. The encoder adds `_total` to the name.
pub(super) struct Counters<'a>(MetricEncoder<'a>);

/// What rises and falls.
pub(super) struct Gauges<'a>(MetricEncoder<'a>);

/// What has no value but the words of its labels. The encoder adds `_info` to the name.
pub(super) struct Infos<'a>(MetricEncoder<'a>);

/// Begins a family of counters.
pub(super) fn counters<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<Counters<'a>, Error> {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)
        .map(Counters)
}

/// Begins a family of gauges.
pub(super) fn gauges<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<Gauges<'a>, Error> {
    encoder
        .encode_descriptor(name, help, None, MetricType::Gauge)
        .map(Gauges)
}

/// Begins a family of facts.
pub(super) fn infos<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<Infos<'a>, Error> {
    encoder
        .encode_descriptor(name, help, None, MetricType::Info)
        .map(Infos)
}

impl Infos<'_> {
    /// A fact.
    pub(super) fn put<const N: usize>(&mut self, labels: Labels<'_, N>) -> Result<(), Error> {
        self.0.encode_info(&labels)
    }
}

impl Counters<'_> {
    /// A sample with labels.
    pub(super) fn put<const N: usize>(
        &mut self,
        labels: Labels<'_, N>,
        value: u64,
    ) -> Result<(), Error> {
        encode_counter(&mut self.0.encode_family(&labels)?, value)
    }

    /// The family's one sample.
    pub(super) fn only(mut self, value: u64) -> Result<(), Error> {
        encode_counter(&mut self.0, value)
    }
}

fn encode_counter(encoder: &mut MetricEncoder<'_>, value: u64) -> Result<(), Error> {
    encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

impl Gauges<'_> {
    /// A sample with labels.
    pub(super) fn put(
        &mut self,
        labels: impl EncodeLabelSet,
        value: impl EncodeGaugeValue,
    ) -> Result<(), Error> {
        self.0.encode_family(&labels)?.encode_gauge(&value)
    }

    /// The family's one sample, if there is something to say.
    pub(super) fn only(mut self, value: Option<impl EncodeGaugeValue>) -> Result<(), Error> {
        value.map_or(Ok(()), |value| self.0.encode_gauge(&value))
    }
}
