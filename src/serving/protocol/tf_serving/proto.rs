//! The messages of the TensorFlow Serving API, made from `proto/` by the build script.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::doc_markdown,
    clippy::use_self,
    clippy::str_to_string
)]

pub mod tensorflow {
    //! Tensors and signatures.

    tonic::include_proto!("tensorflow");

    pub mod serving {
        //! Requests, responses and the service.

        tonic::include_proto!("tensorflow.serving");
    }
}
