//! From text to expression. Strict: what is not understood is an error with its place.
//!
//! ```text
//! any  = all { "or" all }
//! all  = one { "and" one }
//! one  = "not" one | "(" any ")" | FIELD OPERATOR VALUE
//! OPERATOR = "=" | "!=" | "~" | "<" | "<=" | ">" | ">="
//! VALUE    = word | "…" | '…'      with \\ \" \' \xNN between quotes
//! ```

use aegis_event::{Kind, Verdict};

use super::field::{FIELDS, Field, Type};
use super::value::{Operand, Operator, network};
use crate::export::limits;
use crate::{hex, time};

/// A condition on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Field, Operator, Operand),
}

/// Where an expression is not one, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Bytes from the beginning of the text, and how many are meant.
    pub(super) at: usize,
    pub(super) length: usize,
    pub(super) why: String,
}

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expression, Mistake> {
    if text.len() > limits::EXPRESSION_BYTES {
        let why = format!("{} bytes; an expression has at most {}", text.len(), limits::EXPRESSION_BYTES);
        return Err(Mistake { at: 0, length: 0, why });
    }
    let mut parser = Parser { text, at: 0 };
    let expression = parser.any(limits::EXPRESSION_DEPTH)?;
    match parser.next()? {
        None => Ok(expression),
        Some(token) if token.is(")") => Err(token.mistake("this `)` closes nothing")),
        Some(token) => Err(token.mistake("`and` or `or` is needed before this")),
    }
}

/// A piece of the text. `quoted` pieces are values and never words of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    at: usize,
    length: usize,
    bytes: Vec<u8>,
    quoted: bool,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        !self.quoted && self.bytes == word.as_bytes()
    }

    fn mistake(&self, why: impl Into<String>) -> Mistake {
        Mistake { at: self.at, length: self.length, why: why.into() }
    }

    /// The bytes as text, for types whose values are plain text.
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or("")
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

const SYMBOLS: &[&str] = &["(", ")", "!=", "<=", ">=", "=", "~", "<", ">"];

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Expression, Mistake> {
        let mut list = vec![self.all(depth)?];
        while self.take("or")? {
            list.push(self.all(depth)?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { Expression::Any(list) })
    }

    fn all(&mut self, depth: usize) -> Result<Expression, Mistake> {
        let mut list = vec![self.one(depth)?];
        while self.take("and")? {
            list.push(self.one(depth)?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { Expression::All(list) })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, Mistake> {
        let Some(token) = self.next()? else { return Err(self.end("a condition is missing here")) };
        if depth == 0 && (token.is("not") || token.is("(")) {
            let why = format!("nested deeper than {} levels", limits::EXPRESSION_DEPTH);
            return Err(token.mistake(why));
        }
        if token.is("not") {
            return Ok(Expression::Not(Box::new(self.one(depth - 1)?)));
        }
        if token.is("(") {
            let inner = self.any(depth - 1)?;
            return if self.take(")")? {
                Ok(inner)
            } else {
                match self.next()? {
                    Some(next) => Err(next.mistake("`and`, `or` or `)` is needed before this")),
                    None => Err(token.mistake("this `(` is never closed")),
                }
            };
        }
        self.test(&token)
    }

    fn test(&mut self, name: &Token) -> Result<Expression, Mistake> {
        let Some((_, field, kind)) = FIELDS.iter().find(|(known, ..)| name.is(known)) else {
            if name.quoted || SYMBOLS.iter().chain(&["and", "or"]).any(|symbol| name.is(symbol)) {
                return Err(name.mistake("a field is needed here, as in kind=open"));
            }
            let guess = suggest(name.text(), FIELDS.iter().map(|(known, ..)| *known));
            return Err(name.mistake(match guess {
                Some(guess) => format!("no such field; did you mean `{guess}`?"),
                None => "no such field; see --help for all of them".to_owned(),
            }));
        };
        let Some(symbol) = self.next()? else {
            return Err(self.end(&format!("a comparison is missing after `{}`", name.text())));
        };
        let operator = match symbol.text() {
            _ if symbol.quoted => None,
            "=" => Some(Operator::Is),
            "!=" => Some(Operator::IsNot),
            "~" => Some(Operator::Like),
            "<" => Some(Operator::Less),
            "<=" => Some(Operator::AtMost),
            ">" => Some(Operator::More),
            ">=" => Some(Operator::AtLeast),
            _ => None,
        };
        let Some(operator) = operator else {
            return Err(symbol.mistake("a comparison is needed here: = != ~ < <= > >="));
        };
        fits(*kind, operator).map_err(|why| symbol.mistake(why))?;
        let Some(value) = self.next()? else {
            return Err(self.end(&format!("a value is missing after `{}`", operator.text())));
        };
        if !value.quoted && SYMBOLS.contains(&value.text()) {
            return Err(value.mistake("a value is needed here; put quotes around one like this"));
        }
        let operand = operand(*kind, operator, &value).map_err(|why| value.mistake(why))?;
        Ok(Expression::Test(*field, operator, operand))
    }

    fn end(&self, why: &str) -> Mistake {
        Mistake { at: self.text.len(), length: 0, why: why.to_owned() }
    }

    /// Takes the next token if it is this word.
    fn take(&mut self, word: &str) -> Result<bool, Mistake> {
        let before = self.at;
        let taken = self.next()?.is_some_and(|token| token.is(word));
        if !taken {
            self.at = before;
        }
        Ok(taken)
    }

    /// The next token; none at the end.
    fn next(&mut self) -> Result<Option<Token>, Mistake> {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        let at = self.at + rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next() else {
            self.at = at;
            return Ok(None);
        };
        if first == '"' || first == '\'' {
            return self.quoted(at, first).map(Some);
        }
        let length = match SYMBOLS.iter().find(|symbol| trimmed.starts_with(**symbol)) {
            Some(symbol) => symbol.len(),
            None if first == '!' => {
                let why = "`!` alone says nothing; `!=` compares, `not` negates";
                return Err(Mistake { at, length: 1, why: why.to_owned() });
            }
            None => {
                trimmed.find(|c: char| c.is_whitespace() || "()=!~<>\"'".contains(c)).unwrap_or(trimmed.len())
            }
        };
        self.at = at + length;
        let bytes = trimmed.as_bytes()[..length].to_vec();
        Ok(Some(Token { at, length, bytes, quoted: false }))
    }

    fn quoted(&mut self, at: usize, quote: char) -> Result<Token, Mistake> {
        let mut bytes = Vec::new();
        let mut chars = self.text[at + 1..].char_indices();
        while let Some((offset, c)) = chars.next() {
            let here = at + 1 + offset;
            if c == quote {
                self.at = here + 1;
                return Ok(Token { at, length: self.at - at, bytes, quoted: true });
            }
            if c != '\\' {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            match chars.next().map(|(_, c)| c) {
                Some(c @ ('\\' | '"' | '\'')) => bytes.push(c as u8),
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).map(|(_, c)| c).collect();
                    let byte = hex::array::<1>(&digits).map_err(|_| Mistake {
                        at: here,
                        length: 2 + digits.len(),
                        why: "two hex digits are needed after \\x".to_owned(),
                    })?;
                    bytes.extend(byte);
                }
                _ => {
                    let why = "between quotes there are \\\\ \\\" \\' and \\xNN".to_owned();
                    return Err(Mistake { at: here, length: 2.min(self.text.len() - here), why });
                }
            }
        }
        Err(Mistake { at, length: self.text.len() - at, why: "this quote is never closed".to_owned() })
    }
}

/// Whether a comparison makes sense for values of this type.
fn fits(kind: Type, operator: Operator) -> Result<(), &'static str> {
    let (equal, like, order) = match kind {
        Type::Text | Type::Id | Type::Address | Type::Kind | Type::Verdict => (true, true, false),
        Type::Number => (true, false, true),
        // Nobody means a nanosecond.
        Type::Time => (false, false, true),
        Type::Flag => (true, false, false),
    };
    let fits = match operator {
        Operator::Is | Operator::IsNot => equal,
        Operator::Like => like,
        _ => order,
    };
    if fits {
        return Ok(());
    }
    Err(match kind {
        Type::Time => "a time is compared with < <= > >=",
        Type::Number => "a number is compared with = != < <= > >=",
        Type::Flag => "this is compared with = !=",
        _ => "this is compared with = != ~",
    })
}

/// A value of this type.
fn operand(kind: Type, operator: Operator, value: &Token) -> Result<Operand, String> {
    if operator == Operator::Like {
        return Ok(Operand::Pattern(value.bytes.clone()));
    }
    let text = value.text();
    match kind {
        Type::Text => Ok(Operand::Text(value.bytes.clone())),
        Type::Number => number(text).map(Operand::Number),
        Type::Id => hex::array(text).map(Operand::Id).map_err(|_| {
            "32 hex digits are needed; for the first few, write ~ with a * behind them".to_owned()
        }),
        Type::Address => network(text)
            .map(|(address, bits)| Operand::Network(address, bits))
            .ok_or_else(|| "an address or a network is needed, as 10.0.0.7, ::1 or 10.0.0.0/8".to_owned()),
        Type::Time => time::parse(text).map(|seconds| {
            Operand::Time(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000))
        }),
        Type::Flag => match text {
            "true" => Ok(Operand::Flag(true)),
            "false" => Ok(Operand::Flag(false)),
            _ => Err("true or false is needed".to_owned()),
        },
        Type::Kind => Kind::from_name(text)
            .map(Operand::Kind)
            .ok_or_else(|| named("kind", text, Kind::ALL.iter().map(|kind| kind.name()))),
        Type::Verdict => match text {
            "allow" => Some(Verdict::Allowed),
            "audit" => Some(Verdict::Audited),
            "deny" => Some(Verdict::Denied),
            _ => Verdict::from_name(text),
        }
        .map(Operand::Verdict)
        .ok_or_else(|| named("verdict", text, Verdict::ALL.iter().map(|verdict| verdict.name()))),
    }
}

fn number(text: &str) -> Result<u64, String> {
    // Protocols go by their names, too.
    match text {
        "icmp" => return Ok(1),
        "tcp" => return Ok(6),
        "udp" => return Ok(17),
        _ => {}
    }
    let read = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    read.map_err(|_| "a number from 0 to 18446744073709551615 is needed".to_owned())
}

fn named<'a>(what: &str, found: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match suggest(found, known.clone()) {
        Some(guess) => format!("no such {what}; did you mean `{guess}`?"),
        None => format!("no such {what}; there are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// The known word that is meant, if one is near enough.
fn suggest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|known| (strsim::damerau_levenshtein(found, known), known)).min()?;
    (near.0 <= 1 + found.len() / 4).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(field: Field, operator: Operator, operand: Operand) -> Expression {
        Expression::Test(field, operator, operand)
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closest() {
        let kind = |kind| test(Field::Kind, Operator::Is, Operand::Kind(kind));
        let (open, exit, fork) = (kind(Kind::Open), kind(Kind::Exit), kind(Kind::Fork));
        let all = |list: &[&Expression]| Expression::All(list.iter().map(|e| (*e).clone()).collect());
        let any = |list: &[&Expression]| Expression::Any(list.iter().map(|e| (*e).clone()).collect());
        let not = |e: &Expression| Expression::Not(Box::new(e.clone()));
        for (text, expected) in [
            ("kind=open", open.clone()),
            (" ( (kind = open) ) ", open.clone()),
            ("kind=open and kind=exit or kind=fork", any(&[&all(&[&open, &exit]), &fork])),
            ("kind=open and (kind=exit or kind=fork)", all(&[&open, &any(&[&exit, &fork])])),
            ("not kind=open and kind=exit", all(&[&not(&open), &exit])),
            ("not(kind=open and kind=exit)", not(&all(&[&open, &exit]))),
            ("not not kind=open", not(&not(&open))),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn values_have_their_fields_type() {
        let text = |text: &[u8]| Operand::Text(text.to_vec());
        let (is, like) = (Operator::Is, Operator::Like);
        for (source, expected) in [
            ("workload=agent-7", test(Field::Workload, is, text(b"agent-7"))),
            ("path = and", test(Field::Path, is, text(b"and"))),
            (r#"path="a b\\\"\x00\xff""#, test(Field::Path, is, text(b"a b\\\"\0\xff"))),
            ("comm='(sh)'", test(Field::Comm, is, text(b"(sh)"))),
            ("path~/srv/*", test(Field::Path, like, Operand::Pattern(b"/srv/*".to_vec()))),
            ("device~2a*", test(Field::Device, like, Operand::Pattern(b"2a*".to_vec()))),
            ("verdict=deny", test(Field::Verdict, is, Operand::Verdict(Verdict::Denied))),
            ("verdict=denied", test(Field::Verdict, is, Operand::Verdict(Verdict::Denied))),
            ("uid>=1000", test(Field::Uid, Operator::AtLeast, Operand::Number(1000))),
            ("flags=0x8000", test(Field::Flags, is, Operand::Number(0x8000))),
            ("protocol=tcp", test(Field::Protocol, is, Operand::Number(6))),
            (
                "time<2027-01-15T08:00:00Z",
                test(Field::Time, Operator::Less, Operand::Time(1_800_000_000_000_000)),
            ),
        ] {
            assert_eq!(parse(source), Ok(expected), "{source}");
        }
    }

    #[test]
    fn mistakes_have_a_place_and_a_mend() {
        for (text, at, length, why) in [
            ("", 0, 0, "a condition is missing"),
            ("   ", 3, 0, "a condition is missing"),
            ("knd=open", 0, 3, "did you mean `kind`?"),
            ("colour=red", 0, 6, "no such field"),
            ("kind=opne", 5, 4, "did you mean `open`?"),
            ("kind=nothing-like-it", 5, 15, "there are fork, exec,"),
            ("verdict=denyed", 8, 6, "did you mean `denied`?"),
            ("kind", 4, 0, "a comparison is missing after `kind`"),
            ("kind open", 5, 4, "a comparison is needed"),
            ("kind=", 5, 0, "a value is missing"),
            ("kind==open", 5, 1, "a value is needed"),
            ("kind<open", 4, 1, "= != ~"),
            ("time=2027-01-15", 4, 1, "< <= > >="),
            ("uid~10*", 3, 1, "a number is compared"),
            ("uid=ten", 4, 3, "a number"),
            ("uid=18446744073709551616", 4, 20, "a number"),
            ("uid=-1", 4, 2, "a number"),
            ("device=2a", 7, 2, "32 hex digits"),
            ("address=10.0.0.0/33", 8, 11, "10.0.0.0/8"),
            ("time>yesterday", 5, 9, "a date"),
            ("glass_broken=yes", 13, 3, "true or false"),
            ("kind=open kind=exec", 10, 4, "`and` or `or`"),
            ("kind=open and", 13, 0, "a condition is missing"),
            ("and kind=open", 0, 3, "a field is needed"),
            ("'kind'=open", 0, 6, "a field is needed"),
            ("(kind=open", 0, 1, "never closed"),
            ("(kind=open kind=exec)", 11, 4, "`)` is needed"),
            ("kind=open)", 9, 1, "closes nothing"),
            ("path='a", 5, 2, "never closed"),
            (r"path='\n'", 6, 2, "between quotes"),
            (r"path='\x4'", 6, 4, "two hex digits"),
            (r"path='\", 6, 1, "between quotes"),
            ("!kind=open", 0, 1, "`not` negates"),
        ] {
            let mistake = parse(text).expect_err(text);
            assert_eq!((mistake.at, mistake.length), (at, length), "{text}: {}", mistake.why);
            assert!(mistake.why.contains(why), "{text}: {}", mistake.why);
        }
    }

    #[test]
    fn expressions_are_bounded() {
        let nested = |depth: usize| format!("{}kind=open{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(limits::EXPRESSION_DEPTH)).is_ok());
        assert!(parse(&nested(limits::EXPRESSION_DEPTH + 1)).is_err());
        assert!(parse(&"not ".repeat(1000)).expect_err("too deep").why.contains("nested"));
        let long = vec!["kind=open"; 256].join(" or ");
        assert!(parse(&long).is_ok() && long.len() < limits::EXPRESSION_BYTES);
        assert!(parse(&" ".repeat(limits::EXPRESSION_BYTES + 1)).is_err());
    }

    #[test]
    fn whatever_is_typed_is_answered() {
        // Every cut of a long expression, at whatever character, is an expression or a mistake inside the text.
        let text = r#"not (kind=open and path ~ "/ü/*\xff") or time >= 2027-01-15 and address != ::1/64"#;
        for (at, _) in text.char_indices() {
            for part in [&text[..at], &text[at..]] {
                if let Err(mistake) = parse(part) {
                    assert!(mistake.at + mistake.length <= part.len(), "{part}");
                    assert!(part.is_char_boundary(mistake.at), "{part}");
                }
            }
        }
    }
}
