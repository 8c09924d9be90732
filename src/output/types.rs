//! What DuckDB calls the types of Arrow's fields.
//!
//! Types that Arrow lacks arrive as extension types (`query::Types::Exact`) and are told by their field's metadata.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::model::sql::identifier;

/// Whether the values of a column line up at their right end.
#[must_use]
pub fn is_number(field: &Field) -> bool {
    match extension(field).as_str() {
        "hugeint" | "uhugeint" | "bignum" => true,
        "" => field.data_type().is_numeric(),
        _ => false,
    }
}

/// DuckDB's name of an Arrow type.
#[must_use]
pub fn type_name(field: &Field) -> String {
    use DataType as T;
    let known = match extension(field).as_str() {
        "json" => "json",
        "uuid" => "uuid",
        "bool8" => "boolean",
        "hugeint" => "hugeint",
        "uhugeint" => "uhugeint",
        "time_tz" => "timetz",
        "bit" => "bit",
        "bignum" => "bignum",
        "wkb" => "geometry",
        _ => "",
    };
    if !known.is_empty() {
        return known.into();
    }
    let plain = match field.data_type() {
        T::Null => "null",
        T::Boolean => "boolean",
        T::Int8 => "tinyint",
        T::Int16 => "smallint",
        T::Int32 => "integer",
        T::Int64 => "bigint",
        T::UInt8 => "utinyint",
        T::UInt16 => "usmallint",
        T::UInt32 => "uinteger",
        T::UInt64 => "ubigint",
        T::Float32 => "float",
        T::Float64 => "double",
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "varchar",
        T::Binary | T::LargeBinary | T::BinaryView => "blob",
        T::Date32 => "date",
        T::Time64(TimeUnit::Nanosecond) => "time_ns",
        T::Time64(_) => "time",
        T::Timestamp(_, Some(_)) => "timestamptz",
        T::Timestamp(TimeUnit::Second, _) => "timestamp_s",
        T::Timestamp(TimeUnit::Millisecond, _) => "timestamp_ms",
        T::Timestamp(TimeUnit::Microsecond, _) => "timestamp",
        T::Timestamp(TimeUnit::Nanosecond, _) => "timestamp_ns",
        T::Interval(_) => "interval",
        T::Dictionary(_, _) => "enum",
        _ => "",
    };
    if !plain.is_empty() {
        return plain.into();
    }
    let names = |fields: &[&Field], separator: &str| {
        let names = fields
            .iter()
            .map(|f| format!("{}{separator}{}", member(f.name()), type_name(f)));
        names.collect::<Vec<_>>().join(", ")
    };
    match field.data_type() {
        T::Decimal32(width, scale) | T::Decimal64(width, scale) | T::Decimal128(width, scale) => {
            format!("decimal({width},{scale})")
        }
        T::List(item) | T::LargeList(item) => format!("{}[]", type_name(item)),
        T::FixedSizeList(item, size) => format!("{}[{size}]", type_name(item)),
        T::Struct(fields) => format!(
            "struct({})",
            names(&fields.iter().map(AsRef::as_ref).collect::<Vec<_>>(), " ")
        ),
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(pair) if pair.len() == 2 => {
                format!("map({}, {})", type_name(&pair[0]), type_name(&pair[1]))
            }
            _ => "map".into(),
        },
        T::Union(fields, _) => {
            format!(
                "union({})",
                names(
                    &fields.iter().map(|(_, f)| f.as_ref()).collect::<Vec<_>>(),
                    " "
                )
            )
        }
        other => other.to_string().to_lowercase(),
    }
}

/// The name of a struct's member, in quotes where it must be.
fn member(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.is_empty()
        && name.chars().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
    {
        return name.to_owned();
    }
    identifier(name)
}

/// The last part of an extension's name (`json` of `arrow.json`), DuckDB's type for its own; else empty.
pub(super) fn extension(field: &Field) -> String {
    match field.extension_type_name() {
        Some("arrow.opaque") => {
            let metadata = field.extension_type_metadata().unwrap_or_default();
            let value = metadata
                .split("\"type_name\":")
                .nth(1)
                .and_then(|rest| rest.split('"').nth(1));
            value.unwrap_or_default().to_owned()
        }
        Some(name) => name.rsplit('.').next().unwrap_or_default().to_owned(),
        None => String::new(),
    }
}

/// A struct without names, `row(1, 2)`, for which DuckDB invents some on the way to Arrow.
pub(super) fn is_tuple(fields: &Fields) -> bool {
    !fields.is_empty()
        && fields
            .iter()
            .enumerate()
            .all(|(i, f)| f.name() == &format!("element{}", i + 1))
}
