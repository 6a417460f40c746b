use proptest::prelude::*;

use super::*;
use crate::config::{EXAMPLE, parse};

#[test]
fn what_is_written_means_what_was_read() {
    let written = Fields::parse(EXAMPLE).unwrap().to_string();
    let (read, again) = (parse("a", EXAMPLE).unwrap(), parse("b", &written).unwrap());
    assert_eq!(read, again, "{written}");
}

#[test]
fn numbers_stay_as_they_were_written() {
    let text = "a = 0x7fffffffffffffff\nb = 1.50\nc = true\nd = 1979-05-27\n";
    assert_eq!(Fields::parse(text).unwrap().to_string(), text);
}

fn any_node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Node::Text),
        any::<i64>().prop_map(|number| Node::Word(number.to_string())),
        any::<bool>().prop_map(|value| Node::Word(value.to_string())),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Node::List),
            any_fields(inner).prop_map(Node::Table),
        ]
    })
}

/// Sorted by key, as the parser has them.
fn any_fields(value: impl Strategy<Value = Node>) -> impl Strategy<Value = Fields> {
    let fields = prop::collection::btree_map(any::<String>(), value, 0..4);
    fields.prop_map(|fields| Fields(fields.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn every_tree_is_read_as_it_was_written(fields in any_fields(any_node())) {
        let text = fields.to_string();
        prop_assert_eq!(Fields::parse(&text), Some(fields), "{}", text);
    }
}
