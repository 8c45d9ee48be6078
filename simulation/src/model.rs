//! What the fleet writes, and what must come of it, in the simplest code that can say so. Shares nothing with the engine.
//!
//! Every batch holds exactly one `ListAppend` of its number to the list `log`. So each state names the batches in it and their
//! order, and every other name of the state follows from that by replay.

use super::dice::Dice;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A batch that a client submitted: its number, unique in a run, which `log` shows.
pub type BatchId = u64;

/// The ops of a new batch. Texts in it are up to `payload` bytes long: where states grow past a few kilobytes, replicas advance without downloading them.
pub fn draw_batch(dice: &mut Dice, id: BatchId, payload: u64) -> Vec<Value> {
    let mut ops = Vec::new();
    for _ in 0..dice.within(0..5) {
        let small = dice.within(0..5) as i64;
        ops.push(match dice.within(0..12) {
            0 | 1 => json!({"op": "IntAdd", "Key": "sum", "Delta": small * 7 - 3}),
            2 => json!({"op": "IntMul", "Key": "sum", "Factor": 3}),
            3 => json!({"op": "ScalarSet", "Key": "last", "Value": format!("b{id}")}),
            4 => json!({"op": "MapSet", "Key": "seen", "MapKey": id, "Value": "x".repeat(dice.within(0..payload + 1) as usize)}),
            5 => json!({"op": "MapSet", "Key": "owner", "MapKey": format!("k{small}"), "Value": id}),
            6 => json!({"op": "MapDelete", "Key": "owner", "MapKey": format!("k{small}")}),
            7 => json!({"op": "SetAdd", "Key": "members", "Member": small}),
            8 => json!({"op": "SetRemove", "Key": "members", "Member": small}),
            9 => json!({"op": "IntMapAdd", "Key": "votes", "MapKey": format!("k{small}"), "Delta": 1}),
            10 => json!({"op": "ListAppend", "Key": "other", "Value": [id, small]}),
            _ => json!({"op": "ScalarDelete", "Key": "last"}),
        });
    }
    let place = dice.within(0..ops.len() as u64 + 1) as usize;
    ops.insert(place, json!({"op": "ListAppend", "Key": "log", "Value": id}));
    ops
}

/// The state of a namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model(BTreeMap<String, Value>);

impl Model {
    /// Reads a state's canonical JSON.
    pub fn read(text: &Value) -> Option<Model> {
        Some(Model(text.as_object()?.iter().map(|(name, value)| (name.clone(), value.clone())).collect()))
    }

    /// Applies one op of the kinds that [`draw_batch`] makes. Fails with what it does not know.
    pub fn apply(&mut self, op: &Value) -> Result<(), String> {
        let text = |member: &str| op[member].as_str().map(str::to_owned).ok_or_else(|| format!("no {member} in {op}"));
        let number = |member: &str| op[member].as_i64().ok_or_else(|| format!("no {member} in {op}"));
        let name = text("Key")?;
        let integer = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or(0);
        match text("op")?.as_str() {
            "ScalarSet" => drop(self.0.insert(name, op["Value"].clone())),
            "ScalarDelete" => drop(self.0.remove(&name)),
            "IntAdd" => {
                let sum = integer(self.0.get(&name)).wrapping_add(number("Delta")?);
                self.0.insert(name, sum.into());
            }
            "IntMul" => {
                let product = integer(self.0.get(&name)).wrapping_mul(number("Factor")?);
                self.0.insert(name, product.into());
            }
            "ListAppend" => match self.0.entry(name).or_insert_with(|| json!([])) {
                Value::Array(items) => items.push(op["Value"].clone()),
                _ => return Err(format!("{op} on what is no list")),
            },
            "MapSet" => drop(self.entries(name)?.insert(op["MapKey"].to_string(), op["Value"].clone())),
            "SetAdd" => drop(self.entries(name)?.insert(op["Member"].to_string(), true.into())),
            "IntMapAdd" => {
                let delta = number("Delta")?;
                let entries = self.entries(name)?;
                let key = op["MapKey"].to_string();
                let sum = integer(entries.get(&key)).wrapping_add(delta);
                entries.insert(key, sum.into());
            }
            removal @ ("MapDelete" | "SetRemove") => {
                let key = op[if removal == "MapDelete" { "MapKey" } else { "Member" }].to_string();
                if let Some(Value::Object(entries)) = self.0.get_mut(&name) {
                    entries.remove(&key);
                }
            }
            _ => return Err(format!("an op that the fleet never writes: {op}")),
        }
        Ok(())
    }

    fn entries(&mut self, name: String) -> Result<&mut Map<String, Value>, String> {
        match self.0.entry(name).or_insert_with(|| json!({})) {
            Value::Object(entries) => Ok(entries),
            other => Err(format!("a map or set is due where {other} stands")),
        }
    }

    /// The batches in this state, in the order of their application. See also [`log_of`].
    pub fn log(&self) -> Vec<BatchId> {
        self.0.get("log").and_then(Value::as_array).map_or(Vec::new(), |items| items.iter().filter_map(Value::as_u64).collect())
    }

    /// Canonical JSON. The fleet writes ASCII without `<`, `>` or `&`, so that sorted compact JSON is canonical.
    pub fn text(&self) -> String {
        let mut text = Vec::with_capacity(1024);
        serde_json::to_writer(&mut text, &self.0).expect("what was JSON can be written, and a vector takes it");
        String::from_utf8(text).expect("JSON is UTF-8")
    }
}

/// The batches in a state's text, in the order of their application. Nothing where it is no JSON object.
pub fn log_of(text: &str) -> Option<Vec<BatchId>> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let Some(log) = members.get("log") else { return Some(Vec::new()) };
    let items: Vec<&RawValue> = serde_json::from_str(log.get()).unwrap_or_default();
    Some(items.iter().filter_map(|item| item.get().parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_do_what_the_data_model_says() {
        let mut model = Model::default();
        for op in [
            json!({"op": "IntAdd", "Key": "sum", "Delta": 4}),
            json!({"op": "IntMul", "Key": "sum", "Factor": 3}),
            json!({"op": "ListAppend", "Key": "log", "Value": 7}),
            json!({"op": "MapSet", "Key": "owner", "MapKey": "k", "Value": 7}),
            json!({"op": "MapSet", "Key": "owner", "MapKey": "j", "Value": 8}),
            json!({"op": "MapDelete", "Key": "owner", "MapKey": "j"}),
            json!({"op": "SetAdd", "Key": "members", "Member": 3}),
            json!({"op": "SetRemove", "Key": "members", "Member": 3}),
            json!({"op": "SetRemove", "Key": "absent", "Member": 3}),
            json!({"op": "IntMapAdd", "Key": "votes", "MapKey": "k", "Delta": -1}),
            json!({"op": "ScalarSet", "Key": "last", "Value": "b7"}),
        ] {
            model.apply(&op).expect("a known op");
        }
        assert_eq!(model.text(), r#"{"last":"b7","log":[7],"members":{},"owner":{"\"k\"":7},"sum":12,"votes":{"\"k\"":-1}}"#);
        assert_eq!(model.log(), [7]);
        assert!(model.apply(&json!({"op": "IntSet", "Key": "sum", "Value": 1})).is_err());
    }

    #[test]
    fn every_batch_names_itself_once() {
        let mut dice = Dice::new(3, "batches");
        for id in 0..200 {
            let mut model = Model::default();
            draw_batch(&mut dice, id, 5).iter().for_each(|op| model.apply(op).expect("a known op"));
            assert_eq!(model.log(), [id]);
        }
    }
}
