//! `cp`: files and directories into a workspace and out of it.

mod local;

use sandboxer_api::request::WrittenFile;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::args::CopyArgs;
use crate::context::{Context, Format};
use crate::error::usage;
use crate::output::json;
use crate::service::{Service, Shape};

/// One of the two sides.
enum Side<'a> {
    Here(&'a str),
    Inside { id: &'a str, path: &'a str },
}

/// Copies.
///
/// # Errors
/// Neither or both sides are in a sandbox; something cannot be read or written.
pub(crate) async fn cp(context: &Context, args: &CopyArgs) -> Result<u8, UserError> {
    match (side(&args.from), side(&args.to)) {
        (Side::Here(from), Side::Inside { id, path }) => {
            let here = local::Found::look(context, from)?;
            let service = service(context).await?;
            let path = target(path, &here)?;
            let (mode, source) = (here.mode(), here.source());
            let written = service.write(id, &path, here.shape(), mode, source).await?;
            print(context, &written)?;
        }
        (Side::Inside { id, path }, Side::Here(to)) => {
            let service = service(context).await?;
            let path = match path.trim_end_matches('/') {
                "" => ".",
                path => path,
            };
            match service.shape(id, path).await? {
                Shape::File => local::write(context, &service, (id, path), to).await?,
                Shape::Archive => local::unpack(context, &service, (id, path), to).await?,
            }
        }
        _ => {
            return Err(usage("exactly one of the two is in a sandbox")
                .hint("write for example `sandboxer cp report.csv sbx-01k:in/report.csv`"));
        }
    }
    Ok(0)
}

async fn service(context: &Context) -> Result<Service, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    reporter.close();
    Ok(service)
}

/// `ID:PATH` is inside; a path here that has a `:` in it is written with a `/` before it, such as `./a:b`.
fn side(text: &str) -> Side<'_> {
    match text.split_once(':') {
        Some((id, path)) if !id.is_empty() && !id.contains('/') => Side::Inside { id, path },
        _ => Side::Here(text),
    }
}

/// Where something goes: below a directory it keeps its name.
fn target(path: &str, here: &local::Found) -> Result<String, UserError> {
    if here.shape() == Shape::Archive {
        return Ok(match path.trim_end_matches('/') {
            "" => ".".to_owned(),
            path => path.to_owned(),
        });
    }
    if !path.is_empty() && !path.ends_with('/') {
        return Ok(path.to_owned());
    }
    let name = here.name().ok_or_else(|| {
        UserError::new(
            ErrorCode::InvalidInput,
            "what is copied has no name to be written under",
        )
        .hint("write the name, too: ID:PATH/NAME")
    })?;
    Ok(format!("{path}{name}"))
}

fn print(context: &Context, written: &WrittenFile) -> Result<(), UserError> {
    match context.format {
        Format::Json => json::print(written),
        Format::Table => json::print_text(&format!("{}  {} bytes\n", written.path, written.bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart() {
        assert!(matches!(
            side("sbx-01k:a/b"),
            Side::Inside {
                id: "sbx-01k",
                path: "a/b"
            }
        ));
        assert!(matches!(side("01k:"), Side::Inside { id: "01k", path: "" }));
        for here in ["a", "./a:b", "/x:y", ":a", "-"] {
            assert!(matches!(side(here), Side::Here(_)), "{here}");
        }
    }
}
