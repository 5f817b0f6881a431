//! Which tokens and clauses are SQL to us: PostgreSQL's, with DuckDB's friendlier syntax on top.
//!
//! Invariant: accepting a clause here says nothing of its support: `gate.rs` decides.

use std::any::TypeId;

use datafusion_sql::sqlparser::{
    ast::{Expr, UnaryOperator},
    dialect::{Dialect, DuckDbDialect, GenericDialect, PostgreSqlDialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, Word},
};

use crate::sql::calls::{GLOB, call_of};

/// The dialect of StoaDB. Parts of the parser ask for a dialect by type: `base` says whom it then takes us for.
#[derive(Debug)]
pub struct StoaDialect {
    base: TypeId,
    structs: bool,
}

impl StoaDialect {
    /// The dialects to try in turn; the first error counts when all fail.
    pub fn candidates() -> [Self; 3] {
        [
            Self::like::<GenericDialect>(),
            Self::like::<PostgreSqlDialect>(),
            Self::like::<DuckDbDialect>(),
        ]
    }

    fn like<D: 'static>() -> Self {
        Self { base: TypeId::of::<D>(), structs: false }
    }

    /// The same for a statement with types of structs: `struct_types.rs`.
    pub fn with_structs(&self, structs: bool) -> Self {
        Self { base: self.base, structs }
    }
}

fn is_glob(word: &Word) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case("glob")
}

impl StoaDialect {
    /// Operators that become calls.
    fn operator(&self, parser: &mut Parser, expr: &Expr) -> Option<Result<Expr, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::ExclamationMark => {
                parser.advance_token();
                return Some(Ok(call_of("factorial", vec![expr.clone()])));
            }
            Token::Word(word) if is_glob(word) => {
                parser.advance_token();
                let pattern = parser.parse_subexpr(self.prec_value(Precedence::Like));
                return Some(pattern.map(|right| call_of(GLOB, vec![expr.clone(), right])));
            }
            _ => {}
        }
        let negated = match &parser.peek_token_ref().token {
            Token::Word(word) if word.keyword == Keyword::IN => false,
            Token::Word(word) if word.keyword == Keyword::NOT => true,
            _ => return None,
        };
        let (at, list) = (usize::from(negated), usize::from(negated) + 1);
        let is_in = matches!(&parser.peek_nth_token_ref(at).token,
            Token::Word(word) if word.keyword == Keyword::IN);
        let of_list = match &parser.peek_nth_token_ref(list).token {
            Token::LBracket | Token::Placeholder(_) => true,
            Token::Word(word) => word.keyword != Keyword::UNNEST,
            _ => false,
        };
        if !is_in || !of_list {
            return None;
        }
        (0..list).for_each(|_| parser.advance_token());
        let right = parser.parse_subexpr(self.prec_value(Precedence::Between));
        Some(right.map(|right| {
            let asked = call_of("list_contains", vec![right, expr.clone()]);
            match negated {
                true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(asked) },
                false => asked,
            }
        }))
    }
}

macro_rules! yes {
    ($($name:ident)*) => { $(fn $name(&self) -> bool { true })* };
}

impl Dialect for StoaDialect {
    fn dialect(&self) -> TypeId {
        self.base
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || !ch.is_ascii()
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$' || !ch.is_ascii()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn supports_struct_literal(&self) -> bool {
        self.structs
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('"')
    }

    /// Words that begin an expression and are no names. Where such an expression fails the parser would read it again as
    /// a call, at every level: `NOT (NOT (..` took time that doubled with each.
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        matches!(
            keyword,
            Keyword::CASE
                | Keyword::CAST
                | Keyword::EXISTS
                | Keyword::INTERVAL
                | Keyword::NOT
                | Keyword::STRUCT
                | Keyword::TRIM
                | Keyword::TRY_CAST
        )
    }

    /// `a IS DISTINCT FROM b AND c` is `(a IS DISTINCT FROM b) AND c`: the parser alone would take all of `b AND c` for
    /// the right side. `x IN list` without parentheses asks a list, `x GLOB 'a*'` a pattern, and `5!` is a factorial.
    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        const IS: [Keyword; 3] = [Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
        const IS_NOT: [Keyword; 4] = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
        let build = match () {
            () if parser.parse_keywords(&IS) => Expr::IsDistinctFrom,
            () if parser.parse_keywords(&IS_NOT) => Expr::IsNotDistinctFrom,
            () => return self.operator(parser, expr),
        };
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is));
        Some(right.map(|right| build(Box::new(expr.clone()), Box::new(right))))
    }

    /// `^` is a power and binds tighter than `*`; `||`, `->` and `->>` bind looser than `+`, as in PostgreSQL.
    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let (product, sum) = (Precedence::MulDivModOp, Precedence::PlusMinus);
        match &parser.peek_token_ref().token {
            Token::Caret => Some(Ok(self.prec_value(product) + 1)),
            Token::ExclamationMark => Some(Ok(self.prec_value(product) + 2)),
            Token::StringConcat | Token::HashArrow | Token::LongArrow => {
                Some(Ok(self.prec_value(sum) - 1))
            }
            Token::Word(word) if is_glob(word) => {
                let pattern = match &parser.peek_nth_token_ref(1).token {
                    Token::SingleQuotedString(_) | Token::Placeholder(_) | Token::LParen => true,
                    Token::Word(next) => next.keyword == Keyword::NoKeyword,
                    _ => false,
                };
                pattern.then(|| Ok(self.prec_value(Precedence::Like)))
            }
            _ => None,
        }
    }

    yes! {
        allow_extract_custom
        allow_extract_single_quotes
        supports_alter_column_type_using
        supports_array_typedef_with_brackets
        supports_asc_desc_in_column_definition
        supports_bitwise_shift_operators
        supports_boolean_literals
        supports_column_definition_trailing_commas
        supports_comma_separated_trim
        supports_comment_on
        supports_constraint_keyword_without_name
        supports_create_index_with_clause
        supports_dictionary_syntax
        supports_explain_with_utility_options
        supports_filter_during_aggregation
        supports_from_first_select
        supports_from_trailing_commas
        supports_group_by_expr
        supports_in_empty_list
        supports_insert_table_alias
        supports_interval_options
        supports_lambda_functions
        supports_left_associative_joins_without_parens
        supports_limit_comma
        supports_named_fn_args_with_assignment_operator
        supports_named_fn_args_with_rarrow_operator
        supports_nested_comments
        supports_notnull_operator
        supports_numeric_literal_underscores
        supports_order_by_all
        supports_parens_around_table_factor
        supports_projection_trailing_commas
        supports_select_wildcard_except
        supports_select_wildcard_exclude
        supports_select_wildcard_rename
        supports_select_wildcard_replace
        supports_start_transaction_modifier
        supports_string_escape_constant
        supports_trailing_commas
        supports_unicode_string_literal
        supports_values_as_table_factor
        supports_window_clause_named_window_reference
        supports_window_function_null_treatment_arg
        support_map_literal_syntax
    }
}
