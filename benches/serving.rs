//! What it costs to put tiles into messages and to get heads out of them.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::ArrayD;
use prost::Message;
use redis_consumer::serving::DataType;
use redis_consumer::serving::wire::tensorflow::TensorProto;
use redis_consumer::serving::wire::tensorflow::serving::predict_response::Output;
use redis_consumer::serving::wire::tensorflow::serving::{PredictRequest, PredictResponse};
use redis_consumer::serving::wire::{decode, decode_bytes, encode};

/// A usual request: `[16, 256, 256, 1]`.
fn tiles() -> ArrayD<f32> {
    ArrayD::from_shape_fn(vec![16, 256, 256, 1], |at| {
        ((at[0] * 31 + at[1] * 17 + at[2] * 7) % 255) as f32 / 255.0
    })
}

fn request(tiles: ArrayD<f32>) -> Vec<u8> {
    let tensor = encode(tiles, DataType::F32).expect("numeric");
    PredictRequest {
        model_spec: None,
        inputs: [("image".to_owned(), tensor)].into(),
        output_filter: Vec::new(),
    }
    .encode_to_vec()
}

fn response(tensor: TensorProto) -> Vec<u8> {
    let output = Output {
        name: "prediction".to_owned(),
        tensor: tensor.encode_to_vec().into(),
    };
    PredictResponse {
        outputs: vec![output],
        model_spec: None,
    }
    .encode_to_vec()
}

fn read(message: Bytes) -> ArrayD<f32> {
    let mut response = PredictResponse::decode(message).expect("our own message");
    let output = response.outputs.pop().expect("the only output");
    decode_bytes(output.tensor).expect("a good tensor")
}

fn tensors(criterion: &mut Criterion) {
    let tiles = tiles();
    let bytes = (tiles.len() * size_of::<f32>()) as u64;
    let mut group = criterion.benchmark_group("tensor 16x256x256x1");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("memory copy", |bench| {
        bench.iter(|| black_box(tiles.clone()))
    });
    group.bench_function("encode", |bench| {
        bench.iter_batched(
            || tiles.clone(),
            |tiles| encode(tiles, DataType::F32),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("encode and serialise", |bench| {
        bench.iter_batched(|| tiles.clone(), request, BatchSize::LargeInput);
    });
    let content = encode(tiles.clone(), DataType::F32).expect("numeric");
    let listed = TensorProto {
        tensor_content: [].as_slice().into(),
        float_val: tiles.iter().copied().collect(),
        ..content.clone()
    };
    for (name, tensor) in [("decode bytes", content), ("decode list", listed)] {
        group.bench_function(name, |bench| {
            bench.iter_batched(|| tensor.clone(), decode, BatchSize::LargeInput);
        });
        let message = Bytes::from(response(tensor));
        group.bench_function(format!("parse and {name}"), |bench| {
            bench.iter(|| read(black_box(message.clone())))
        });
    }
    group.finish();
}

criterion_group!(benches, tensors);
criterion_main!(benches);
