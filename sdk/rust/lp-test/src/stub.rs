//! Servers that know just enough: the rpcs that a test does not need.

/// Writes rpcs of a service's trait that answer UNIMPLEMENTED, within `#[tonic::async_trait] impl`: as `async_trait`
/// would write them, which does not see into a macro. `name: Request => Response`, separated by commas.
#[macro_export]
macro_rules! not_here {
    ($($name:ident: $request:ty => $response:ty),+ $(,)?) => {$(
        fn $name<'s, 'f>(
            &'s self,
            _: ::tonic::Request<$request>,
        ) -> ::std::pin::Pin<::std::boxed::Box<
            dyn ::std::future::Future<
                    Output = ::std::result::Result<::tonic::Response<$response>, ::tonic::Status>,
                > + ::std::marker::Send
                + 'f,
        >>
        where
            's: 'f,
        {
            ::std::boxed::Box::pin(async { Err(::tonic::Status::unimplemented("not in this test")) })
        }
    )+};
}
