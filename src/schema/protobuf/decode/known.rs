//! The well-known types, each in the form that JSON has for it.

use super::{Decoder, inside, scalar, undecodable};
use crate::event::json::write_text;
use crate::schema::codec::Undecodable;
use crate::schema::protobuf::plan::{Known, Message, Scalar};
use crate::schema::protobuf::times;
use crate::schema::protobuf::wire::Wire;

impl<'p> Decoder<'p, '_, '_> {
    /// A message whose fields stand on the stack from `start`; `last` is which of each oneof came last.
    pub(super) fn known(
        &mut self,
        message: &'p Message,
        known: Known,
        (start, last): (usize, &[usize]),
        depth: usize,
    ) -> Result<(), Undecodable> {
        let all = start..self.found.len();
        match known {
            Known::Any => Err(undecodable("holds google.protobuf.Any, which the schema does not describe")),
            Known::Duration => self.time(start, times::duration, "a duration is out of range"),
            Known::FieldMask => self.field_mask(start),
            Known::List => match message.fields.first() {
                Some(field) => self.list(field, all, depth),
                None => Ok(()),
            },
            Known::Struct => match message.fields.first() {
                Some(field) => self.map(field, Scalar::String, all, depth),
                None => Ok(()),
            },
            Known::Timestamp => self.time(start, times::timestamp, "a time is out of range"),
            Known::Value => self.any_json(message, (start, last), depth),
            Known::Wrapper(scalar) => {
                let last = self.found.get(start..).and_then(<[_]>::last).map(|(_, wire)| *wire);
                scalar::write(self.out, scalar, last)
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "nanoseconds have the lower half of a varint")]
    fn time(
        &mut self,
        start: usize,
        tell: impl Fn(i64, i32) -> Option<String>,
        problem: &str,
    ) -> Result<(), Undecodable> {
        let (mut seconds, mut nanos) = (0, 0);
        for (index, wire) in self.found.get(start..).unwrap_or_default() {
            let Wire::Varint(bits) = *wire else { continue };
            if *index == 0 {
                seconds = bits.cast_signed();
            } else {
                nanos = (bits as u32).cast_signed();
            }
        }
        let text = tell(seconds, nanos).ok_or_else(|| undecodable(problem))?;
        write_text(self.out, &text);
        Ok(())
    }

    fn field_mask(&mut self, start: usize) -> Result<(), Undecodable> {
        let mut names = Vec::new();
        for (_, wire) in self.found.get(start..).unwrap_or_default() {
            let path = std::str::from_utf8(inside(*wire)).ok().and_then(times::camel_case);
            names.push(path.ok_or_else(|| undecodable("a field mask has a name that JSON cannot say"))?);
        }
        write_text(self.out, &names.join(","));
        Ok(())
    }

    /// Any value: the member of its only oneof that came last. None is told as `null`.
    fn any_json(
        &mut self,
        message: &'p Message,
        (start, last): (usize, &[usize]),
        depth: usize,
    ) -> Result<(), Undecodable> {
        let found = last.first().and_then(|index| Some((*index, message.fields.get(*index)?)));
        let Some((index, field)) = found else {
            self.out.extend_from_slice(b"null");
            return Ok(());
        };
        let own = self.found.get(start..).unwrap_or_default();
        let begin = start + own.iter().take_while(|(found, _)| *found < index).count();
        let end = start + own.iter().take_while(|(found, _)| *found <= index).count();
        self.one(field.kind, begin..end, depth)
    }
}
