//! Between JSON and messages: strict on the way in, complete on the way out.

use headgate_kit::Failure;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::{Map, Value};
use serde_path_to_error::{Deserializer, Path, Segment, Track};

use super::names::Names;
use super::wrapper;

/// The message that a JSON object of its field names stands for.
///
/// # Errors
/// INVALID_REQUEST that names the field whose value its type does not have.
pub(crate) fn read(
    message: &MessageDescriptor,
    object: Map<String, Value>,
) -> Result<DynamicMessage, Failure> {
    let mut track = Track::new();
    let from = Deserializer::new(Value::Object(object), &mut track);
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    // What the reader says quotes the value, which may be a secret.
    DynamicMessage::deserialize_with_options(message.clone(), from, &strict)
        .map_err(|_| unfit(message, &track.path()))
}

/// Everything a message says, by the fields' own names, with 64-bit integers as strings.
///
/// # Errors
/// INTERNAL when it cannot be written, e.g. a time that no calendar has.
pub(crate) fn write(message: &DynamicMessage) -> Result<Value, Failure> {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(Failure::internal)
}

/// An object with every field by its own name, as clients may also say them in camelCase, and every message as such.
/// `names` learn where the object said something else.
///
/// # Errors
/// INVALID_REQUEST that names a field which there is not, which comes twice, or which excludes another.
pub(super) fn named(
    message: &MessageDescriptor,
    object: Map<String, Value>,
    within: &str,
    names: &mut Names,
) -> Result<Map<String, Value>, Failure> {
    let mut named = Map::with_capacity(object.len());
    for (key, value) in object {
        let path = below(within, &key);
        let found = message.get_field_by_name(&key).or_else(|| message.get_field_by_json_name(&key));
        let Some(field) = found else { return Err(unknown(&path)) };
        // As good as not said.
        if !value.is_null() {
            let value = named_value(&field, value, &path, names)?;
            put(&mut named, &[field], value)?;
        }
    }
    Ok(named)
}

fn named_value(
    field: &FieldDescriptor,
    value: Value,
    path: &str,
    names: &mut Names,
) -> Result<Value, Failure> {
    let Kind::Message(message) = field.kind() else { return Ok(value) };
    match value {
        Value::Array(items) if field.is_list() => {
            let item = |(at, item)| named_message(&message, item, &format!("{path}[{at}]"), names);
            items.into_iter().enumerate().map(item).collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(entries) if field.is_map() => {
            let of = message.map_entry_value_field();
            let entry = |(key, value): (String, Value)| {
                let value = named_value(&of, value, &below(path, &key), names)?;
                Ok((key, value))
            };
            entries.into_iter().map(entry).collect::<Result<Map<_, _>, Failure>>().map(Value::Object)
        }
        one if !field.is_list() && !field.is_map() => named_message(&message, one, path, names),
        other => Ok(other),
    }
}

fn named_message(
    message: &MessageDescriptor,
    value: Value,
    path: &str,
    names: &mut Names,
) -> Result<Value, Failure> {
    if is_well_known(message) {
        return Ok(value);
    }
    let object = match (value, wrapper::content(message)) {
        (bare, Some(content)) if wrapper::is_bare(&content, &bare) => {
            names.is_bare(path);
            Map::from_iter([(content.name().to_owned(), bare)])
        }
        (Value::Object(object), _) => object,
        (other, _) => return Ok(other),
    };
    named(message, object, path, names).map(Value::Object)
}

/// Sets a field within an object of fields' own names.
///
/// # Errors
/// INVALID_REQUEST when it is there already with another value, or where a field is that excludes it.
pub(crate) fn put(
    object: &mut Map<String, Value>,
    path: &[FieldDescriptor],
    value: Value,
) -> Result<(), Failure> {
    let [outer @ .., last] = path else { return Ok(()) };
    let name = || path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".");
    let mut object = object;
    for field in outer {
        exclude(object, field, &name())?;
        let inner = object.entry(field.name()).or_insert_with(|| Value::Object(Map::new()));
        object = match inner {
            Value::Object(inner) => inner,
            _ => return Err(Failure::invalid(field.name(), format!("{} must be an object", field.name()))),
        };
    }
    exclude(object, last, &name())?;
    match object.get(last.name()) {
        Some(said) if *said != value => {
            Err(Failure::invalid(&name(), format!("{} is given twice, and differs", name())))
        }
        _ => {
            object.insert(last.name().to_owned(), value);
            Ok(())
        }
    }
}

/// Refuses a field beside another of which only one may be.
fn exclude(object: &Map<String, Value>, field: &FieldDescriptor, path: &str) -> Result<(), Failure> {
    let Some(group) = field.containing_oneof() else { return Ok(()) };
    let other = group.fields().find(|other| other != field && object.contains_key(other.name()));
    match other {
        Some(other) => {
            let text = format!("{} and {} exclude each other", field.name(), other.name());
            Err(Failure::invalid(path, text))
        }
        None => Ok(()),
    }
}

/// What a client is told about a field that there is not.
pub(crate) fn unknown(path: &str) -> Failure {
    Failure::invalid(path, format!("there is no field {path}"))
}

fn below(within: &str, name: &str) -> String {
    if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") }
}

/// Whether a message has a JSON form of its own.
pub(crate) fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

/// What a client is told about a value that its field cannot have.
fn unfit(message: &MessageDescriptor, path: &Path) -> Failure {
    let mut place = Place::One(Kind::Message(message.clone()));
    let mut shown = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } => {
                shown = below(&shown, key);
                place = place.at(key);
            }
            Segment::Seq { index } => {
                shown = format!("{shown}[{index}]");
                place = place.item();
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let wanted = match &place {
        Place::List(_) => "a list".to_owned(),
        Place::Map(_) => "an object".to_owned(),
        Place::One(kind) => wanted(kind),
    };
    Failure::invalid(&shown, format!("{shown} must be {wanted}"))
}

/// What belongs somewhere within a message.
enum Place {
    /// Items of a kind.
    List(Kind),
    /// Values of a kind, by keys of their own.
    Map(Kind),
    /// One value.
    One(Kind),
}

impl Place {
    fn of(field: &FieldDescriptor) -> Self {
        let kind = field.kind();
        let value =
            kind.as_message().filter(|_| field.is_map()).map(MessageDescriptor::map_entry_value_field);
        match value {
            Some(value) => Self::Map(value.kind()),
            None if field.is_list() => Self::List(kind),
            None => Self::One(kind),
        }
    }

    /// What belongs at a key; where none does, what belongs around it.
    fn at(self, key: &str) -> Self {
        match self {
            Self::Map(kind) => Self::One(kind),
            Self::One(Kind::Message(message)) => match message.get_field_by_name(key) {
                Some(field) => Self::of(&field),
                None => Self::One(Kind::Message(message)),
            },
            other => other,
        }
    }

    fn item(self) -> Self {
        match self {
            Self::List(kind) => Self::One(kind),
            other => other,
        }
    }
}

/// The values of a type, in words.
pub(crate) fn wanted(kind: &Kind) -> String {
    match kind {
        Kind::Double | Kind::Float => "a number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            "a whole number from -2147483648 to 2147483647".to_owned()
        }
        Kind::Uint32 | Kind::Fixed32 => "a whole number from 0 to 4294967295".to_owned(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number of 64 bits".to_owned(),
        Kind::Uint64 | Kind::Fixed64 => "a whole number of 64 bits that is not negative".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::String => "a string".to_owned(),
        Kind::Bytes => "a string of base64".to_owned(),
        Kind::Enum(names) => {
            let names: Vec<String> = names.values().map(|value| value.name().to_owned()).collect();
            format!("one of {}", names.join(", "))
        }
        Kind::Message(message) if wrapper::content(message).is_some_and(|content| content.is_list()) => {
            "a list".to_owned()
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "a time like 2026-01-31T12:00:00Z".to_owned(),
            "google.protobuf.Duration" => "a duration like 1.5s".to_owned(),
            "google.protobuf.FieldMask" => "names of fields with commas between them".to_owned(),
            _ => "an object".to_owned(),
        },
    }
}
