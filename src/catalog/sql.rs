//! What both databases share: arguments, rows, errors, and the macro that writes each database's few functions.

use crate::domain::{Error, ErrorKind, Result};

/// The code of "run the same transaction again".
pub const BUSY: &str = "catalog-busy";

/// One argument of a statement. Types are those of the portable set: TEXT and BIGINT.
#[derive(Clone, Debug)]
pub enum Value {
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Int(Option<i64>),
}

macro_rules! value_from {
    ($($type:ty => |$x:ident| $value:expr;)+) => {
        $(impl From<$type> for Value { fn from($x: $type) -> Self { $value } })+
    };
}

value_from! {
    &str => |x| Self::Text(Some(x.to_owned()));
    String => |x| Self::Text(Some(x));
    &String => |x| Self::Text(Some(x.clone()));
    Option<String> => |x| Self::Text(x);
    Option<&str> => |x| Self::Text(x.map(str::to_owned));
    i64 => |x| Self::Int(Some(x));
    Option<i64> => |x| Self::Int(x);
    u64 => |x| Self::Int(Some(x.cast_signed()));
    bool => |x| Self::Int(Some(i64::from(x)));
    &crate::domain::ids::VideoId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::UploadId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::SourceId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::VersionId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::JobId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::SessionId => |x| Self::Text(Some(x.as_str().to_owned()));
}

/// One cell of a row.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Null,
    Text(String),
    Int(i64),
}

/// One row, read by column name.
#[derive(Clone, Debug)]
pub struct Row {
    pub(super) cells: Vec<(String, Cell)>,
}

impl Row {
    fn cell(&self, column: &str) -> Result<&Cell> {
        let found = self.cells.iter().find(|(name, _)| name == column);
        found.map(|(_, cell)| cell).ok_or_else(|| Error::internal("the catalog's answer lacks a column", column))
    }

    /// A TEXT column that is never null.
    pub fn text(&self, column: &str) -> Result<String> {
        self.opt_text(column)?.ok_or_else(|| Error::internal("the catalog holds null where text belongs", column))
    }

    /// A TEXT column.
    pub fn opt_text(&self, column: &str) -> Result<Option<String>> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text.clone())),
            Cell::Int(_) => Err(Error::internal("the catalog holds a number where text belongs", column)),
        }
    }

    /// A BIGINT column that is never null.
    pub fn int(&self, column: &str) -> Result<i64> {
        self.opt_int(column)?.ok_or_else(|| Error::internal("the catalog holds null where a number belongs", column))
    }

    /// A BIGINT column.
    pub fn opt_int(&self, column: &str) -> Result<Option<i64>> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Int(int) => Ok(Some(*int)),
            Cell::Text(_) => Err(Error::internal("the catalog holds text where a number belongs", column)),
        }
    }

    /// A BIGINT column that counts something.
    pub fn count(&self, column: &str) -> Result<u64> {
        u64::try_from(self.int(column)?).map_err(|error| Error::internal("the catalog holds a negative count", error))
    }
}

/// Sorts a database's error into ours. Unique violations are `Conflict`; what asks for a repetition has the code [`BUSY`].
pub(super) fn failure(error: sqlx::Error) -> Error {
    let code = match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => {
            return Error::conflict("already-exists", "a row with this key is already there").with_source(error);
        }
        sqlx::Error::Database(inner) => inner.code().map(|code| code.into_owned()).unwrap_or_default(),
        _ => String::new(),
    };
    match code.as_str() {
        // PostgreSQL: serialization_failure, deadlock_detected. SQLite: BUSY, BUSY_RECOVERY, BUSY_SNAPSHOT, LOCKED.
        "40001" | "40P01" | "5" | "261" | "517" | "6" => {
            Error::new(ErrorKind::Unavailable, BUSY, "the catalog is busy: try again").with_source(error)
        }
        // SQLite: FULL. PostgreSQL: disk_full.
        "13" | "53100" => {
            Error::new(ErrorKind::Unavailable, "disk-full", "the catalog's disk is full: free space, then try again").with_source(error)
        }
        _ => Error::unavailable("the catalog did not answer as it should", error),
    }
}

/// Writes `bind`, `execute`, `fetch_all` and the row decoder for one database.
macro_rules! statements {
    ($database:ty, $row:ty, $connection:ty, integers: $($integer:literal)|+) => {
        type Query<'q> = sqlx::query::Query<'q, $database, <$database as sqlx::Database>::Arguments>;

        fn bind(sql: &'static str, args: Vec<Value>) -> Query<'static> {
            args.into_iter().fold(sqlx::query::<$database>(sql), |query, arg| match arg {
                Value::Text(text) => query.bind(text),
                Value::Int(int) => query.bind(int),
            })
        }

        fn decode(row: &$row) -> Result<Row> {
            use sqlx::{Column, Row as _, TypeInfo, ValueRef};
            let cell = |index: usize| -> Result<Cell, sqlx::Error> {
                let raw = row.try_get_raw(index)?;
                if raw.is_null() {
                    return Ok(Cell::Null);
                }
                let integer = matches!(raw.type_info().name(), $($integer)|+);
                Ok(if integer { Cell::Int(row.try_get(index)?) } else { Cell::Text(row.try_get(index)?) })
            };
            let named = |(index, column): (usize, &<$database as sqlx::Database>::Column)| Ok((column.name().to_owned(), cell(index)?));
            let cells = row.columns().iter().enumerate().map(named).collect::<Result<_, sqlx::Error>>().map_err(failure)?;
            Ok(Row { cells })
        }

        pub(super) async fn execute(connection: &mut $connection, sql: &'static str, args: Vec<Value>) -> Result<u64> {
            Ok(bind(sql, args).execute(connection).await.map_err(failure)?.rows_affected())
        }

        pub(super) async fn fetch_all<'c, E>(executor: E, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>>
        where
            E: sqlx::Executor<'c, Database = $database>,
        {
            bind(sql, args).fetch_all(executor).await.map_err(failure)?.iter().map(decode).collect()
        }
    };
}
pub(super) use statements;

/// Splits a migration into its statements: none of ours holds a semicolon inside.
pub(super) fn split_statements(script: &'static str) -> impl Iterator<Item = &'static str> {
    script.split(";\n").map(str::trim).filter(|statement| statement.lines().any(|line| !line.starts_with("--") && !line.trim().is_empty()))
}
