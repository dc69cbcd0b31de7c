//! The texts of messages: `templates/{language}/{template}.{subject,txt,html}.jinja`.

use lp_types::TransactionId;
use minijinja::{Environment, Error, UndefinedBehavior, context};
use serde::Serialize;

use crate::domain::{
    notification::{Facts, Language, Template},
    points::points,
};

/// What a message says. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// One line.
    pub subject: String,
    /// For readers of plain text.
    pub text: String,
    /// For the others.
    pub html: String,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../templates/", $name)))),+]
    };
}

const FILES: [(&str, &str); 19] = files![
    "message.html.jinja",
    "en/points-burned.html.jinja",
    "en/points-burned.subject.jinja",
    "en/points-burned.txt.jinja",
    "en/points-earned.html.jinja",
    "en/points-earned.subject.jinja",
    "en/points-earned.txt.jinja",
    "en/points-exchanged.html.jinja",
    "en/points-exchanged.subject.jinja",
    "en/points-exchanged.txt.jinja",
    "fr/points-burned.html.jinja",
    "fr/points-burned.subject.jinja",
    "fr/points-burned.txt.jinja",
    "fr/points-earned.html.jinja",
    "fr/points-earned.subject.jinja",
    "fr/points-earned.txt.jinja",
    "fr/points-exchanged.html.jinja",
    "fr/points-exchanged.subject.jinja",
    "fr/points-exchanged.txt.jinja",
];

/// Every template, parsed.
#[derive(Debug)]
pub struct Templates(Environment<'static>);

impl Templates {
    /// Parses the templates, which are part of the program.
    ///
    /// # Errors
    /// When one of them is malformed, which a test rules out.
    pub fn new() -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_trim_blocks(true);
        // Names that end in `.html.jinja` are escaped, by minijinja's own rule.
        for (name, source) in FILES {
            environment.add_template(name, source)?;
        }
        Ok(Self(environment))
    }

    /// Writes a message.
    ///
    /// # Errors
    /// When a template asks for what it is not given, which a test rules out.
    pub fn render(
        &self,
        template: Template,
        language: Language,
        facts: &Facts,
        transaction: TransactionId,
    ) -> Result<Content, Error> {
        let Facts {
            amount,
            burned,
            asset,
            exponent,
            balance_after,
        } = facts;
        let said = context! {
            amount => points(amount.get(), *exponent, language),
            burned => burned.map(|burned| points(burned.get(), *exponent, language)),
            balance => points(balance_after.get(), *exponent, language),
            asset => asset.as_str(),
            transaction => transaction.to_string(),
        };
        Ok(Content {
            subject: self.part(template, language, "subject", &said)?,
            text: self.part(template, language, "txt", &said)?,
            html: self.part(template, language, "html", &said)?,
        })
    }

    fn part<S: Serialize>(
        &self,
        template: Template,
        language: Language,
        part: &str,
        said: S,
    ) -> Result<String, Error> {
        let name = format!("{}/{}.{part}.jinja", language.code(), template.name());
        self.0.get_template(&name)?.render(said)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lp_types::{Amount, AssetCode, MinorUnits};
    use minijinja::ErrorKind;

    use super::*;

    fn each() -> impl Iterator<Item = (Template, Language)> {
        Template::ALL
            .into_iter()
            .flat_map(|template| Language::ALL.map(|language| (template, language)))
    }

    #[test]
    fn every_template_in_every_language() {
        let templates = Templates::new().unwrap();
        let facts = Facts {
            amount: Amount::try_from(1_250).unwrap(),
            burned: Some(Amount::try_from(500).unwrap()),
            asset: AssetCode::try_from("PTS_BAKERY".to_owned()).unwrap(),
            exponent: 0,
            balance_after: MinorUnits::new(13_400),
        };
        let transaction = "txn_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap();
        for (template, language) in each() {
            let content = templates.render(template, language, &facts, transaction).unwrap();
            assert_eq!(content.subject.lines().count(), 1);
            let Content { subject, text, html } = content;
            let name = format!("{}.{}", template.name(), language.code());
            insta::with_settings!({
                snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/templates/snapshots"),
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, {
                insta::assert_snapshot!(name, format!("{subject}\n~~~ txt\n{text}\n~~~ html\n{html}"));
            });
        }
    }

    #[test]
    fn a_missing_variable_fails() {
        let templates = Templates::new().unwrap();
        for (template, language) in each() {
            let mut all =
                BTreeMap::from(["amount", "balance", "asset", "transaction"].map(|name| (name, "x")));
            if template == Template::PointsExchanged {
                all.insert("burned", "x");
            }
            let parts = |said: &BTreeMap<_, _>| {
                ["subject", "txt", "html"].map(|part| templates.part(template, language, part, said))
            };
            assert!(parts(&all).iter().all(Result::is_ok));
            for missing in all.keys() {
                let mut said = all.clone();
                said.remove(missing);
                let outcomes = parts(&said);
                let failed = outcomes.iter().filter_map(|part| part.as_ref().err());
                assert!(
                    failed
                        .map(Error::kind)
                        .any(|kind| kind == ErrorKind::UndefinedError),
                    "{template:?} in {language:?} without {missing}"
                );
            }
        }
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let templates = Templates::new().unwrap();
        for (template, language) in each() {
            let said = context! { amount => "<b>", burned => "<b>", balance => "<b>", asset => "<b>", transaction => "<b>" };
            assert!(
                !templates
                    .part(template, language, "html", &said)
                    .unwrap()
                    .contains("<b>")
            );
            assert!(
                templates
                    .part(template, language, "txt", &said)
                    .unwrap()
                    .contains("<b>")
            );
        }
    }
}
