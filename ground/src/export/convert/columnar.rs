//! One Parquet file, Snappy-compressed, row group by row group.

use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type as SchemaType};
use serde_json::json;

use super::table::{COLUMNS, Cell, Rows, Spec, Type};
use super::{Output, Totals, unwritten};
use crate::export::check::Report;
use crate::export::evidence::{Evidence, Record, Sink};
use crate::export::limits;
use crate::export::report::file_json;
use crate::outcome::Failure;

/// Writes the file, which is there when all events are in it.
pub(super) fn write(report: &Report, evidence: &Evidence<'_>, path: &Path) -> Result<Totals, Failure> {
    let fail = |error: ParquetError| failed(&error);
    let schema = schema().map_err(fail)?;
    let out = BufWriter::with_capacity(1 << 16, Output::begin(path)?);
    let file = SerializedFileWriter::new(out, schema, Arc::new(properties(report))).map_err(fail)?;
    let mut writer = Writer { file, rows: Rows::default(), group: Group::new(), totals: Totals::default() };
    evidence.read("converting", &mut writer)?;
    writer.close_group()?;
    let out = writer.file.into_inner().map_err(fail)?;
    let Output(draft) = out.into_inner().map_err(|error| unwritten(error.into_error()))?;
    draft.publish(true)?;
    Ok(writer.totals)
}

fn failed(error: &ParquetError) -> Failure {
    // What the disk said stands inside.
    let text = error.to_string();
    Failure::usage(text.strip_prefix("External: ").unwrap_or(&text))
}

fn schema() -> Result<Arc<SchemaType>, ParquetError> {
    let fields = COLUMNS.iter().map(|column| field(column).map(Arc::new)).collect::<Result<_, _>>()?;
    Ok(Arc::new(SchemaType::group_type_builder("event").with_fields(fields).build()?))
}

fn field(column: &Spec) -> Result<SchemaType, ParquetError> {
    let unsigned = |bit_width| Some(LogicalType::integer(bit_width, false));
    let (physical, logical) = match column.kind {
        Type::Name | Type::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Type::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Type::Bytes => (Physical::BYTE_ARRAY, None),
        Type::Long | Type::Wide => (Physical::INT64, unsigned(64)),
        Type::Int => (Physical::INT32, unsigned(32)),
        Type::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Type::Flag => (Physical::BOOLEAN, None),
    };
    let repetition = if column.always { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    SchemaType::primitive_type_builder(column.name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
}

/// Names and places go into dictionaries. The events themselves are all different. What the file is made of is in its
/// footer.
fn properties(report: &Report) -> WriterProperties {
    let exports: Vec<_> = report.files.iter().take(limits::EXPORTS_NAMED).map(file_json).collect();
    let notes = [
        ("aegis.format", super::tables::FORMAT.to_string()),
        ("aegis.exports", json!(exports).to_string()),
        ("aegis.exports_left_out", (report.files.len() - exports.len()).to_string()),
    ];
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("aegisctl ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(
            notes.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect(),
        ));
    for column in COLUMNS.iter().filter(|column| column.kind == Type::Bytes) {
        let path = ColumnPath::from(column.name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    properties.build()
}

struct Writer<W: std::io::Write + Send> {
    file: SerializedFileWriter<W>,
    rows: Rows,
    group: Group,
    totals: Totals,
}

impl<W: std::io::Write + Send> Sink for Writer<W> {
    fn take(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        self.totals.count(record);
        self.totals.records += 1;
        let row = self.rows.row(record);
        self.group.add(&row.cells);
        if self.group.full() {
            self.close_group()?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl<W: std::io::Write + Send> Writer<W> {
    fn close_group(&mut self) -> Result<(), Failure> {
        let group = std::mem::replace(&mut self.group, Group::new());
        if group.count == 0 {
            return Ok(());
        }
        group.write(&mut self.file).map_err(|error| failed(&error))
    }
}

/// The rows of one row group, column by column.
struct Group {
    columns: Vec<Values>,
    count: usize,
    bytes: usize,
}

/// A column's values that there are, and which rows have one.
struct Values {
    data: Data,
    there: Vec<i16>,
}

enum Data {
    Bytes(Vec<ByteArray>),
    Long(Vec<i64>),
    Int(Vec<i32>),
    Flag(Vec<bool>),
}

impl Group {
    fn new() -> Self {
        let data = |kind| match kind {
            Type::Name | Type::Text | Type::Json | Type::Bytes => Data::Bytes(Vec::new()),
            Type::Long | Type::Wide | Type::Time => Data::Long(Vec::new()),
            Type::Int => Data::Int(Vec::new()),
            Type::Flag => Data::Flag(Vec::new()),
        };
        let columns = COLUMNS.iter().map(|column| Values { data: data(column.kind), there: Vec::new() });
        Self { columns: columns.collect(), count: 0, bytes: 0 }
    }

    fn full(&self) -> bool {
        self.count >= limits::ROW_GROUP_ROWS || self.bytes >= limits::ROW_GROUP_BYTES
    }

    fn add(&mut self, cells: &[Cell<'_>]) {
        self.count += 1;
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.there.push(i16::from(*cell != Cell::None));
            match (&mut column.data, cell) {
                (_, Cell::None) => {}
                (Data::Bytes(list), Cell::Text(text)) => {
                    self.bytes += text.len();
                    list.push(text.as_bytes().to_vec().into());
                }
                (Data::Bytes(list), Cell::Bytes(bytes)) => {
                    self.bytes += bytes.len();
                    list.push(bytes.to_vec().into());
                }
                // Unsigned by its logical type.
                (Data::Long(list), Cell::Number(number)) => list.push(number.cast_signed()),
                (Data::Long(list), Cell::Time(at)) => list.push(*at),
                (Data::Int(list), Cell::Number(number)) => list.push((*number as u32).cast_signed()),
                (Data::Flag(list), Cell::Flag(flag)) => list.push(*flag),
                _ => unreachable!("a cell is of its column's type"),
            }
        }
    }

    fn write<W: std::io::Write + Send>(self, file: &mut SerializedFileWriter<W>) -> Result<(), ParquetError> {
        let mut group = file.next_row_group()?;
        for (column, spec) in self.columns.into_iter().zip(COLUMNS) {
            let mut writer = group
                .next_column()?
                .ok_or_else(|| ParquetError::General("the schema has fewer columns".to_owned()))?;
            let there = (!spec.always).then_some(column.there.as_slice());
            match (writer.untyped(), &column.data) {
                (ColumnWriter::ByteArrayColumnWriter(writer), Data::Bytes(list)) => {
                    writer.write_batch(list, there, None)?;
                }
                (ColumnWriter::Int64ColumnWriter(writer), Data::Long(list)) => {
                    writer.write_batch(list, there, None)?;
                }
                (ColumnWriter::Int32ColumnWriter(writer), Data::Int(list)) => {
                    writer.write_batch(list, there, None)?;
                }
                (ColumnWriter::BoolColumnWriter(writer), Data::Flag(list)) => {
                    writer.write_batch(list, there, None)?;
                }
                _ => unreachable!("the schema is made from the same columns"),
            }
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }
}
