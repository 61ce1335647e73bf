//! Objects of JSON whose fields are worked out.

use serde_json::{Map, Value};

/// An object of these fields; of two with one name the last counts. One function for all of them: each way to collect into a map
/// brings a sort of its own with it, 5 KiB of the program.
pub(crate) fn object(fields: &mut dyn Iterator<Item = (&str, Value)>) -> Value {
    let mut map = Map::new();
    for (name, value) in fields {
        map.insert(name.to_owned(), value);
    }
    Value::Object(map)
}
