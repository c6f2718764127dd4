//! The rows of a server on SQLite, seen and changed from beside it.

use super::server::Server;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use theatrum::catalog::Catalog;

impl Server {
    /// The catalog, while the server runs or does not.
    pub async fn catalog(&self) -> Catalog {
        Catalog::open_sqlite(&self.data().join("catalog.db")).await.expect("a catalog")
    }

    /// A connection that may do what the catalog never does.
    pub async fn rows(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.data().join("catalog.db"));
        SqliteConnection::connect_with(&options).await.expect("a catalog")
    }

    /// Makes every insertion into `table` fail, as a full disk would.
    pub async fn make_unwritable(&self, table: &str) {
        let trigger = format!("CREATE TRIGGER full_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no space'); END");
        sqlx::query(AssertSqlSafe(trigger)).execute(&mut self.rows().await).await.expect("a trigger");
    }

    /// Takes [`Server::make_unwritable`] back.
    pub async fn make_writable(&self, table: &str) {
        sqlx::query(AssertSqlSafe(format!("DROP TRIGGER full_{table}"))).execute(&mut self.rows().await).await.expect("no trigger");
    }
}
