//! A server in a thread of its own, which does not run on the threads of whoever asks it.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// It ends with this value.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Listening {
    /// Serves each connection to a free port of the loopback interface.
    pub(crate) fn start<S>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a non-blocking socket");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let accepting = async move {
            let listener = TcpListener::from_std(listener).expect("a listening socket");
            while let Ok((socket, _)) = listener.accept().await {
                // Answers come in several pieces, which must not wait for each other's acknowledgement.
                let _ = socket.set_nodelay(true);
                tokio::spawn(serve(socket));
            }
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! { _ = stopped => {}, () = accepting => {} }
            });
        });
        Self {
            address,
            _stop: stop,
        }
    }
}
