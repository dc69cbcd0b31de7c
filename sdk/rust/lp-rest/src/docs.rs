//! The explorable page at `/docs`: Swagger UI from this binary, nothing from the internet.

use axum::{
    Router,
    routing::{get, get_service},
};
use http::header;
use swagger_ui_dist::{ApiDefinition, OpenApiSource};

/// Holds the page to this origin in the browser, whatever the script would like to load. Swagger UI sets
/// styles inline and draws icons from `data:` addresses.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page and its parts. The page is our own, since the crate's repeats the request's address in its HTML
/// and leaves Swagger UI's validator on, which is on the internet. Only the script and the style are the crate's.
pub(crate) fn routes() -> Router {
    let assets = swagger_ui_dist::generate_routes(ApiDefinition {
        uri_prefix: "/docs",
        api_definition: OpenApiSource::Uri("/openapi.json"),
        title: None,
    });
    let page = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    let script = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    Router::new()
        .route(
            "/docs",
            get(async move || (page, include_str!("../assets/docs.html"))),
        )
        .route(
            "/docs/start.js",
            get(async move || (script, include_str!("../assets/start.js"))),
        )
        .route("/docs/swagger-ui.css", get_service(assets.clone()))
        .route("/docs/swagger-ui-bundle.js", get_service(assets))
}
