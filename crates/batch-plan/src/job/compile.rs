//! Compiles the texts of one stage.

use std::sync::Arc;

use super::error::RenderError;
use super::quantity::Quantity;
use crate::scope::{Scope, Shared};
use crate::template::{Engine, Text};
use crate::units::UnitError;

/// Compiles the texts of one stage.
pub(super) struct Compiler<'a> {
    pub(super) engine: Engine,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) stage: &'a str,
}

impl Compiler<'_> {
    pub(super) fn text(&mut self, field: &str, source: &str) -> Result<Text, RenderError> {
        let compiled = self.engine.compile(source);
        let text = compiled.map_err(|message| self.error(field, message))?;
        Ok(self.engine.constant(text, &Scope::shared(self.shared)))
    }

    pub(super) fn quantity<T>(
        &mut self,
        field: &str,
        source: Option<&str>,
        parse: fn(&str) -> Result<T, UnitError>,
    ) -> Result<Quantity<T>, RenderError> {
        let Some(source) = source else {
            return Ok(Quantity::None);
        };
        match self.text(field, source)? {
            Text::Literal(text) => match parse(&text) {
                Ok(value) => Ok(Quantity::Fixed(value)),
                Err(error) => Err(self.error(field, error.to_string())),
            },
            text => Ok(Quantity::Text(text, parse)),
        }
    }

    fn error(&self, field: &str, message: String) -> RenderError {
        RenderError {
            stage: self.stage.to_owned(),
            item: None,
            field: field.to_owned(),
            message,
        }
    }
}
