//! A configuration as a Markdown table, made from the struct that is parsed.

use clap::{Args, Command};

/// One setting, as `--help` knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub variable: String,
    /// What it is when it is not set; `None`: it must be set, or may be absent.
    pub default: Option<String>,
    /// True when it must be set.
    pub required: bool,
    /// What it means.
    pub help: String,
}

/// The settings of `C`, in the order of its fields.
pub fn settings<C: Args>() -> Vec<Setting> {
    let command = C::augment_args(Command::new("settings"));
    let setting = |arg: &clap::Arg| Setting {
        variable: arg
            .get_env()
            .map(|v| v.to_string_lossy().into_owned())
            .unwrap_or_default(),
        default: arg
            .get_default_values()
            .first()
            .map(|v| v.to_string_lossy().into_owned()),
        required: arg.is_required_set(),
        help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
    };
    command.get_arguments().map(setting).collect()
}

/// The settings of `C` as a Markdown table.
pub fn table<C: Args>() -> String {
    let mut table = String::from("| variable | default | meaning |\n|---|---|---|\n");
    for setting in settings::<C>() {
        let default = match (&setting.default, setting.required) {
            (_, true) => "required".to_owned(),
            (Some(default), _) if !default.is_empty() => format!("`{default}`"),
            (Some(_), _) => "empty".to_owned(),
            (None, _) => "absent".to_owned(),
        };
        table.push_str(&format!(
            "| `{}` | {default} | {} |\n",
            setting.variable, setting.help
        ));
    }
    table
}
