//! The shape of a catalog's tables, as the database itself tells it, so that a table that a later migration adds is copied like the rest.

use super::sql::Cell;
use super::{Row, Value};
use crate::domain::{Error, Result};
use serde_json::{Map, Value as Json};

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) primary_key: Vec<String>,
    pub(super) parents: Vec<String>,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
    /// Whether the database counts it up by itself.
    pub(super) counts: bool,
}

/// The types of the portable set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Text,
    Int,
}

impl Table {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads all rows, in the order of the primary key: rows of one parent lie side by side.
    pub(super) fn select(&self) -> String {
        let key = self.primary_key.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        let order = if key.is_empty() { key } else { format!(" ORDER BY {key}") };
        format!("SELECT * FROM {}{order}", quoted(&self.name))
    }

    /// Inserts `rows` rows at once, all columns of each.
    pub(super) fn insert(&self, rows: usize) -> String {
        let names = self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
        let width = self.columns.len();
        let tuple = |row: usize| format!("({})", (1..=width).map(|at| format!("${}", row * width + at)).collect::<Vec<_>>().join(", "));
        format!("INSERT INTO {} ({names}) VALUES {}", quoted(&self.name), (0..rows).map(tuple).collect::<Vec<_>>().join(", "))
    }

    /// The values of a row in the order of [`Self::insert`]; `Invalid` when the row is not one of this table.
    pub(super) fn values(&self, row: &Map<String, Json>) -> Result<Vec<Value>> {
        if let Some(foreign) = row.keys().find(|name| self.columns.iter().all(|column| column.name != **name)) {
            return Err(self.misfit(foreign));
        }
        self.columns.iter().map(|column| column.value(row.get(&column.name)).ok_or_else(|| self.misfit(&column.name))).collect()
    }

    fn misfit(&self, column: &str) -> Error {
        Error::invalid("row-misfit", format!("a copied row does not fit column {column} of table {}", self.name))
    }
}

impl Column {
    /// A column of the database's type `type_name`; only TEXT and integers are portable.
    pub(super) fn new(table: &str, name: String, type_name: &str, counts: bool) -> Result<Self> {
        let type_name = type_name.to_ascii_lowercase();
        let kind = match type_name.as_str() {
            "text" => ColumnKind::Text,
            "bigint" | "integer" => ColumnKind::Int,
            _ => return Err(Error::internal(format!("column {name} of table {table} has a type that cannot be copied"), type_name)),
        };
        Ok(Self { name, kind, counts })
    }

    fn value(&self, json: Option<&Json>) -> Option<Value> {
        match (self.kind, json?) {
            (ColumnKind::Text, Json::Null) => Some(Value::Text(None)),
            (ColumnKind::Text, Json::String(text)) => Some(Value::Text(Some(text.clone()))),
            (ColumnKind::Int, Json::Null) => Some(Value::Int(None)),
            (ColumnKind::Int, Json::Number(number)) => number.as_i64().map(|int| Value::Int(Some(int))),
            _ => None,
        }
    }
}

impl Row {
    /// The row as a JSON object: texts, integers and nulls under the names of their columns.
    pub fn to_json(&self) -> Map<String, Json> {
        let json = |cell: &Cell| match cell {
            Cell::Null => Json::Null,
            Cell::Text(text) => Json::from(text.as_str()),
            Cell::Int(int) => Json::from(*int),
        };
        self.cells.iter().map(|(name, cell)| (name.clone(), json(cell))).collect()
    }
}

/// A name as SQL takes it; the names come from the database's own schema.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The tables such that each stands after those it refers to.
pub(super) fn parents_first(mut tables: Vec<Table>) -> Result<Vec<Table>> {
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let mut ordered: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let is_placed = |table: &Table, parent: &String| *parent == table.name || ordered.iter().any(|placed| placed.name == *parent);
        let next = tables.iter().position(|table| table.parents.iter().all(|parent| is_placed(table, parent)));
        let next = next.ok_or_else(|| Error::internal("the catalog's tables refer to one another in a circle", tables[0].name.clone()))?;
        ordered.push(tables.remove(next));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, parents: &[&str]) -> Table {
        let columns =
            [("id", "TEXT"), ("at", "bigint")].map(|(column, kind)| Column::new(name, column.into(), kind, false).expect("portable"));
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        Table { name: name.into(), columns: columns.into(), primary_key: vec!["id".into()], parents }
    }

    #[test]
    fn parents_come_before_their_children_and_circles_are_noticed() {
        let ordered = parents_first(vec![table("a", &["c"]), table("b", &["b"]), table("c", &["b"])]).expect("no circle");
        assert_eq!(ordered.iter().map(Table::name).collect::<Vec<_>>(), ["b", "c", "a"]);
        assert!(parents_first(vec![table("a", &["b"]), table("b", &["a"])]).is_err());
    }

    #[test]
    fn statements_name_every_column() {
        let table = table("a", &[]);
        assert_eq!(table.select(), r#"SELECT * FROM "a" ORDER BY "id""#);
        assert_eq!(table.insert(2), r#"INSERT INTO "a" ("id", "at") VALUES ($1, $2), ($3, $4)"#);
    }

    #[test]
    fn a_row_of_another_shape_is_refused() {
        let table = table("a", &[]);
        for wrong in
            [r#"{"id":"x"}"#, r#"{"id":1,"at":1}"#, r#"{"id":"x","at":"1"}"#, r#"{"id":"x","at":1,"more":1}"#, r#"{"id":"x","at":1.5}"#]
        {
            let row = serde_json::from_str::<Map<String, Json>>(wrong).expect("json");
            assert_eq!(table.values(&row).expect_err(wrong).code(), "row-misfit");
        }
        let row = serde_json::from_str::<Map<String, Json>>(r#"{"id":"x","at":null}"#).expect("json");
        assert_eq!(table.values(&row).expect("fits").len(), 2);
        assert!(Column::new("a", "picture".into(), "BLOB", false).is_err());
    }
}
