//! Databases, connections and what statements do. Reading order: `database.rs`, `connection.rs`, `run.rs`.

pub mod database; // Database: catalog and threads
pub mod connection; // Connection, Statement: the ways to run SQL
pub mod settings; // Settings
pub mod result; // QueryResult: rows as they come
mod run; // one statement
mod kept; // the plan that a prepared statement keeps
mod repeated; // ... and texts that differ in constants alone
mod names; // what names stand for
mod unknown; // ... names that stand for nothing yet
mod scripts; // texts that were run lately
mod storage_info; // how tables are stored
mod create; // CREATE, DROP
mod insert; // INSERT
mod values; // constants, without planning
mod upsert; // ... ON CONFLICT
mod change; // DELETE, UPDATE, TRUNCATE
mod merge; // MERGE INTO
mod alter; // ALTER TABLE
mod rules; // NOT NULL, DEFAULT, CHECK, PRIMARY KEY, UNIQUE
mod indexes; // CREATE INDEX, DROP INDEX
mod index_info; // ... what they consist of
mod schemas; // CREATE SCHEMA, DROP SCHEMA, USE
mod information; // information_schema
mod macros; // CREATE MACRO, and what calls stand for
mod pragma; // PRAGMA
mod pivots; // the values of PIVOT without a list
mod prepared; // PREPARE, EXECUTE, DEALLOCATE
mod copy; // COPY
mod copy_options; // options of COPY ... TO
mod export; // EXPORT DATABASE, IMPORT DATABASE
mod returning; // RETURNING
pub(crate) mod user_functions; // functions that a program brings
mod vacuum; // VACUUM
mod explain; // EXPLAIN
mod explain_json; // ... as JSON
mod show; // SHOW, DESCRIBE
mod summarize; // SUMMARIZE
mod save; // SAVE
pub mod text; // values as text
