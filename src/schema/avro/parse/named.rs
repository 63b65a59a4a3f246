//! The types that have names: records, enums and fixed sizes.

use std::collections::HashMap;

use serde_json::Value;

use super::super::names::{Name, full, is_name};
use super::super::tree::{Default, Enum, Field, Fixed, Node, Record};
use super::attributes::{Attributes, octets};
use super::{Parsed, Parser, shorten};

impl Parser {
    pub(super) fn record(&mut self, attributes: Attributes<'_>, outer: &str) -> Result<Parsed, String> {
        let (name, aliases) = names(attributes, outer)?;
        let id = self.define(&name)?;
        let mut record =
            Record { name, aliases, doc: attributes.doc(), fields: Vec::new(), by_name: HashMap::new() };
        for (index, field) in attributes.list("fields")?.iter().enumerate() {
            let namespace = record.name.namespace();
            let field = self.within(&format!("fields/{index}"), |parser| parser.field(field, namespace))?;
            if record.by_name.insert(field.name.clone(), index).is_some() {
                return Err(format!("has a field {} twice", shorten(&field.name)));
            }
            record.fields.push(field);
        }
        let parsed = Parsed { id, name: record.name.full().into(), is_union: false };
        self.fill(id, Node::Record(record));
        Ok(parsed)
    }

    fn field(&mut self, field: &Value, namespace: &str) -> Result<Field, String> {
        self.spend(1)?;
        let attributes = Attributes(field.as_object().ok_or("a field must be an object")?);
        let name = attributes.text("name")?;
        if !is_name(name) {
            return Err("a field's name must be letters, digits and _, not beginning with a digit".to_owned());
        }
        if let Some(order) = attributes.get("order") {
            let order = order.as_str().map(str::to_lowercase);
            if !matches!(order.as_deref(), Some("ascending" | "descending" | "ignore")) {
                return Err("order must be ascending, descending or ignore".to_owned());
            }
        }
        let schema = attributes.required("type")?;
        let node = self.within("type", |parser| parser.parse(schema, namespace))?.id;
        // What is written for it is known when all types are.
        let default =
            attributes.get("default").map(|told| Default { told: told.clone(), written: Box::default() });
        let aliases = attributes.aliases()?.into_iter().map(Into::into).collect();
        Ok(Field { name: name.into(), aliases, doc: attributes.doc(), node, default })
    }

    pub(super) fn enumeration(&mut self, attributes: Attributes<'_>, outer: &str) -> Result<Parsed, String> {
        let (name, aliases) = names(attributes, outer)?;
        let id = self.define(&name)?;
        let (mut symbols, mut by_symbol) = (Vec::new(), HashMap::new());
        for symbol in attributes.list("symbols")? {
            self.spend(1)?;
            let symbol = symbol.as_str().filter(|symbol| is_name(symbol));
            let symbol =
                symbol.ok_or("a symbol must be letters, digits and _, not beginning with a digit")?;
            if by_symbol.insert(symbol.into(), symbols.len()).is_some() {
                return Err(format!("has a symbol {} twice", shorten(symbol)));
            }
            symbols.push(symbol.into());
        }
        let default = match attributes.get("default") {
            Some(default) => {
                let symbol = default.as_str().filter(|symbol| by_symbol.contains_key(*symbol));
                Some(symbol.ok_or("the default of an enum must be one of its symbols")?.into())
            }
            None => None,
        };
        let (parsed, doc) = (Parsed { id, name: name.full().into(), is_union: false }, attributes.doc());
        self.fill(id, Node::Enum(Enum { name, aliases, doc, symbols, by_symbol, default }));
        Ok(parsed)
    }

    pub(super) fn fixed(&mut self, attributes: Attributes<'_>, outer: &str) -> Result<Parsed, String> {
        let (name, aliases) = names(attributes, outer)?;
        let id = self.define(&name)?;
        let size = attributes.required("size")?.as_u64().and_then(|size| i32::try_from(size).ok());
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or("size must be a whole number from 0 to 2147483647")?;
        let octets = octets(attributes, Some(size))?;
        let parsed = Parsed { id, name: name.full().into(), is_union: false };
        self.fill(id, Node::Fixed(Fixed { name, aliases, size, octets }));
        Ok(parsed)
    }
}

/// The name of a definition and its full aliases.
fn names(attributes: Attributes<'_>, outer: &str) -> Result<(Name, Vec<Box<str>>), String> {
    let name = attributes.text("name")?;
    let namespace = match attributes.get("namespace") {
        Some(namespace) => namespace.as_str().ok_or("namespace must be a string")?,
        None => outer,
    };
    let name = Name::define(name, namespace)?;
    let aliases = attributes.aliases()?;
    let aliases = aliases.into_iter().map(|alias| full(alias, name.namespace()).into()).collect();
    Ok((name, aliases))
}
