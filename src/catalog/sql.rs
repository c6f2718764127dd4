//! What both databases share: arguments, rows, errors, and the macro that writes each database's few functions.

use crate::domain::error::Cause;
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
    // BIGINT's largest stands for all that is larger: no count of ours comes near it, and a limit means the same.
    u64 => |x| Self::Int(Some(i64::try_from(x).unwrap_or(i64::MAX)));
    bool => |x| Self::Int(Some(i64::from(x)));
    &crate::domain::ids::VideoId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::UploadId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::SourceId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::VersionId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::JobId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::CollectionId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::collection::Name => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::access_key::AccessKeyId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::LinkId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::WebhookId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::DeliveryId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::VerificationId => |x| Self::Text(Some(x.as_str().to_owned()));
    &crate::domain::ids::SessionId => |x| Self::Text(Some(x.as_str().to_owned()));
}

impl Value {
    /// PostgreSQL's TEXT cannot hold NUL, and what one database refuses the other must refuse too.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Text(Some(text)) if text.contains('\0') => {
                Err(Error::invalid("nul-in-text", "text may not hold the character NUL: leave it out"))
            }
            _ => Ok(()),
        }
    }
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

/// "Run the same transaction again", because of `source`.
pub(super) fn busy(source: impl Into<Cause>) -> Error {
    Error::new(ErrorKind::Unavailable, BUSY, "the catalog is busy: try again").with_source(source)
}

/// Sorts a database's error into ours. Unique violations are `Conflict`; what asks for a repetition has the code [`BUSY`]; what another
/// try cannot mend (a broken constraint, SQL that is wrong) is `Internal`; the rest is an outage.
pub(super) fn failure(error: sqlx::Error) -> Error {
    use sqlx::Error as Sql;
    let outage = match &error {
        Sql::Database(inner) if inner.is_unique_violation() => {
            return Error::conflict("already-exists", "a row with this key is already there").with_source(error);
        }
        Sql::Database(inner) => match sort_code(&inner.code().unwrap_or_default()) {
            Sort::Busy => return busy(error),
            Sort::Full => {
                return Error::disk_full("the catalog's disk is full: free space, then try again").with_source(error);
            }
            Sort::Outage => true,
            Sort::Defect => false,
        },
        Sql::ColumnDecode { .. } | Sql::ColumnNotFound(_) | Sql::Decode(_) | Sql::Encode(_) | Sql::TypeNotFound { .. } => false,
        _ => true,
    };
    let message = "the catalog did not answer as it should";
    if outage { Error::unavailable(message, error) } else { Error::internal(message, error) }
}

#[derive(Debug, PartialEq, Eq)]
enum Sort {
    Busy,
    Full,
    Outage,
    Defect,
}

/// PostgreSQL's codes have five characters, the first two their class; SQLite's are numbers, the lowest byte their class.
fn sort_code(code: &str) -> Sort {
    if code.len() == 5 {
        return match (code, &code[..2]) {
            // serialization_failure, deadlock_detected.
            ("40001" | "40P01", _) => Sort::Busy,
            // disk_full.
            ("53100", _) => Sort::Full,
            // Connection, resources, object in use, operator, system.
            (_, "08" | "53" | "55" | "57" | "58") => Sort::Outage,
            _ => Sort::Defect,
        };
    }
    match code.parse::<u32>().unwrap_or_default() & 0xff {
        // BUSY, LOCKED.
        5 | 6 => Sort::Busy,
        // FULL.
        13 => Sort::Full,
        // NOMEM, READONLY, INTERRUPT, IOERR, CANTOPEN, PROTOCOL.
        7 | 8 | 9 | 10 | 14 | 15 => Sort::Outage,
        _ => Sort::Defect,
    }
}

/// Writes `bind`, `execute`, `fetch_all` and the row decoder for one database.
macro_rules! statements {
    ($database:ty, $row:ty, $connection:ty, integers: $($integer:literal as $rust:ty),+) => {
        type Query<'q> = sqlx::query::Query<'q, $database, <$database as sqlx::Database>::Arguments>;

        fn bind(sql: &'static str, args: Vec<Value>) -> Result<Query<'static>> {
            bind_to(sqlx::query::<$database>(sql), args)
        }

        fn bind_to(query: Query<'static>, args: Vec<Value>) -> Result<Query<'static>> {
            args.into_iter().try_fold(query, |query, arg| {
                arg.check()?;
                Ok(match arg {
                    Value::Text(text) => query.bind(text),
                    Value::Int(int) => query.bind(int),
                })
            })
        }

        fn decode(row: &$row) -> Result<Row> {
            use sqlx::{Column, Row as _, TypeInfo, ValueRef};
            let cell = |index: usize| -> Result<Cell, sqlx::Error> {
                let raw = row.try_get_raw(index)?;
                if raw.is_null() {
                    return Ok(Cell::Null);
                }
                Ok(match raw.type_info().name() {
                    $($integer => Cell::Int(i64::from(row.try_get::<$rust, _>(index)?)),)+
                    _ => Cell::Text(row.try_get(index)?),
                })
            };
            let named = |(index, column): (usize, &<$database as sqlx::Database>::Column)| Ok((column.name().to_owned(), cell(index)?));
            let cells = row.columns().iter().enumerate().map(named).collect::<Result<_, sqlx::Error>>().map_err(failure)?;
            Ok(Row { cells })
        }

        pub(super) async fn execute(connection: &mut $connection, sql: &'static str, args: Vec<Value>) -> Result<u64> {
            Ok(bind(sql, args)?.execute(connection).await.map_err(failure)?.rows_affected())
        }

        /// As [`execute`], of a statement that was put together from names of the schema.
        pub(super) async fn execute_text(connection: &mut $connection, sql: String, args: Vec<Value>) -> Result<u64> {
            // Not kept: there are as many of them as there are numbers of rows.
            let query = bind_to(sqlx::query::<$database>(sqlx::AssertSqlSafe(sql)).persistent(false), args)?;
            Ok(query.execute(connection).await.map_err(failure)?.rows_affected())
        }

        /// Hands each row of a query, put together from names of the schema, to `sink`.
        pub(super) async fn for_each(connection: &mut $connection, sql: String, sink: &mut (dyn FnMut(Row) -> Result<()> + Send)) -> Result<()> {
            use futures_util::TryStreamExt;
            let mut rows = sqlx::query::<$database>(sqlx::AssertSqlSafe(sql)).fetch(connection);
            while let Some(row) = rows.try_next().await.map_err(failure)? {
                sink(decode(&row)?)?;
            }
            Ok(())
        }

        pub(super) async fn fetch_all<'c, E>(executor: E, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>>
        where
            E: sqlx::Executor<'c, Database = $database>,
        {
            bind(sql, args)?.fetch_all(executor).await.map_err(failure)?.iter().map(decode).collect()
        }
    };
}
pub(super) use statements;

/// The scripts that a catalog still lacks in which `done` of them ran, with their numbers, counted from 1.
pub(super) fn pending(scripts: &'static [&'static str], done: i64) -> Result<impl Iterator<Item = (i64, &'static str)>> {
    let numbered = (1_i64..).zip(scripts.iter().copied());
    let known = numbered.clone().count();
    if usize::try_from(done).is_ok_and(|done| done <= known) {
        return Ok(numbered.filter(move |(number, _)| *number > done));
    }
    let message = format!("the catalog has schema {done}, this server knows schemas up to {known}: start the newer Theatrum that wrote it");
    Err(Error::conflict("catalog-newer", message))
}

/// Splits a migration into its statements: none of ours holds a semicolon inside.
pub(super) fn split_statements(script: &'static str) -> impl Iterator<Item = &'static str> {
    script.split(";\n").map(str::trim).filter(|statement| statement.lines().any(|line| !line.starts_with("--") && !line.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_helps() {
        for (code, sort) in [
            ("40001", Sort::Busy),
            ("40P01", Sort::Busy),
            ("5", Sort::Busy),
            ("261", Sort::Busy),
            ("517", Sort::Busy),
            ("773", Sort::Busy),
            ("262", Sort::Busy),
            ("53100", Sort::Full),
            ("13", Sort::Full),
            ("57P01", Sort::Outage),
            ("53300", Sort::Outage),
            ("778", Sort::Outage),
            ("23503", Sort::Defect),
            ("42P01", Sort::Defect),
            ("787", Sort::Defect),
            ("1", Sort::Defect),
            ("", Sort::Defect),
        ] {
            assert_eq!(sort_code(code), sort, "{code}");
        }
    }

    #[test]
    fn a_script_is_split_into_its_statements() {
        let script = "-- A comment;\nCREATE TABLE a (\n    b TEXT\n);\nCREATE INDEX c ON a (b);\n";
        let statements = split_statements(script).collect::<Vec<_>>();
        assert_eq!(statements.len(), 2, "{statements:?}");
    }

    #[test]
    fn only_missing_scripts_run_and_a_newer_catalog_is_left_alone() {
        let scripts = &["one", "two"];
        let missing = |done| pending(scripts, done).map(Iterator::collect::<Vec<_>>);
        assert_eq!(missing(0).expect("older"), [(1, "one"), (2, "two")]);
        assert_eq!(missing(1).expect("older"), [(2, "two")]);
        assert_eq!(missing(2).expect("the same"), []);
        assert_eq!(missing(3).expect_err("newer").code(), "catalog-newer");
    }
}
