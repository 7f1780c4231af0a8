//! What `sorted()` makes of keys, and when it refuses to.

use std::cmp::Ordering;

use proto::message::Value;

use super::Object;

/// A key with its value.
pub(in crate::output) type Entry<'a> = &'a (Value, Value);

/// `sorted()` of the keys of a dict, or nothing where Python raises a `TypeError` because some cannot be compared.
pub(in crate::output) fn sorted(entries: &[(Value, Value)]) -> Option<Vec<Entry<'_>>> {
    let mut keyed: Vec<(Object<'_>, Entry<'_>)> = entries
        .iter()
        .map(|entry| (Object::from(&entry.0), entry))
        .collect();
    if let [(first, _), rest @ ..] = keyed.as_slice() {
        let comparable = |(other, _): &(Object<'_>, _)| compare(first, other).is_some();
        if !rest.iter().all(comparable) {
            return None;
        }
    }
    keyed.sort_by(|(a, _), (b, _)| compare(a, b).unwrap_or(Ordering::Equal));
    Some(keyed.into_iter().map(|(_, entry)| entry).collect())
}

/// The order of `pprint`, which compares what cannot be compared by the names of the types.
pub(in crate::output) fn safely_sorted(entries: &[(Value, Value)]) -> Vec<Entry<'_>> {
    let mut keyed: Vec<(Object<'_>, Entry<'_>)> = entries
        .iter()
        .map(|entry| (Object::from(&entry.0), entry))
        .collect();
    keyed.sort_by(|(a, _), (b, _)| compare(a, b).unwrap_or_else(|| type_rank(a).cmp(&type_rank(b))));
    keyed.into_iter().map(|(_, entry)| entry).collect()
}

/// How two objects compare, or nothing where Python raises a `TypeError`. A total order within each kind: where
/// Python's is none, because of a NaN, NaN comes last.
pub(in crate::output) fn compare(a: &Object<'_>, b: &Object<'_>) -> Option<Ordering> {
    match (a, b) {
        (Object::Str(a), Object::Str(b)) => Some(a.cmp(b)),
        (Object::Bytes(a), Object::Bytes(b)) => Some(a.cmp(b)),
        (Object::Date(a), Object::Date(b)) => Some(a.cmp(b)),
        _ => Some(compare_numbers(Number::of(a)?, Number::of(b)?)),
    }
}

#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn of(object: &Object<'_>) -> Option<Self> {
        match object {
            Object::Bool(truth) => Some(Self::Int(i128::from(*truth))),
            Object::Int(number) => Some(Self::Int(*number)),
            Object::Float(number) => Some(Self::Float(*number)),
            _ => None,
        }
    }
}

fn compare_numbers(a: Number, b: Number) -> Ordering {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a.cmp(&b),
        (Number::Int(a), Number::Float(b)) => compare_exactly(a, b),
        (Number::Float(a), Number::Int(b)) => compare_exactly(b, a).reverse(),
        (Number::Float(a), Number::Float(b)) => {
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    }
}

/// Python compares integers with floats by their exact values. The integers are of 64 bits, so the cast of a float
/// that is far beyond them may saturate.
fn compare_exactly(int: i128, float: f64) -> Ordering {
    if float.is_nan() {
        return Ordering::Less;
    }
    let whole = float.trunc();
    let by_whole = int.cmp(&(whole as i128));
    by_whole.then_with(|| 0.0_f64.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal))
}

/// Python's names of the types, in order; numbers, which compare with each other, have one place.
fn type_rank(object: &Object<'_>) -> u8 {
    match object {
        Object::None => 0,
        Object::Bytes(_) => 1,
        Object::Date(_) => 2,
        Object::Bool(_) | Object::Int(_) | Object::Float(_) => 3,
        Object::Dict(_) => 4,
        Object::List(_) => 5,
        Object::Constant(..) => 6,
        Object::Str(_) => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(keys: &[Value]) -> Option<Vec<Value>> {
        let entries: Vec<_> = keys.iter().map(|key| (key.clone(), Value::Nil)).collect();
        Some(
            sorted(&entries)?
                .into_iter()
                .map(|(key, _)| key.clone())
                .collect(),
        )
    }

    #[test]
    fn numbers_of_all_kinds_compare_by_their_exact_values() {
        let big = 1_i64 << 53;
        let expected = [
            Value::Float(f64::NEG_INFINITY),
            Value::Bool(true),
            Value::Float(1.5),
            Value::Int(2),
            Value::Float(9_007_199_254_740_992.0),
            Value::Int(big + 1),
            Value::UInt(u64::MAX),
            Value::Float(1e300),
        ];
        let mut keys = expected.to_vec();
        keys.reverse();
        assert_eq!(order(&keys).unwrap(), expected);
    }

    #[test]
    fn keys_that_cannot_be_compared_are_not_sorted() {
        assert_eq!(order(&[Value::Int(1), Value::text("1")]), None);
        assert_eq!(order(&[Value::Nil, Value::text("a")]), None);
        assert_eq!(order(&[Value::Raw(vec![0xff]), Value::text("a")]), None);
        assert_eq!(order(&[Value::Nil]), Some(vec![Value::Nil]));
    }

    #[test]
    fn many_nans_do_not_upset_the_sort() {
        let keys: Vec<_> = (0..1000)
            .map(|at| {
                if at % 3 == 0 {
                    Value::Float(f64::NAN)
                } else {
                    Value::Float(f64::from(at * 7 % 100))
                }
            })
            .collect();
        assert!(order(&keys).is_some());
    }
}
