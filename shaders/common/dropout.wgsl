// Inverted dropout of a dense layer's outputs: y = keep ? y / (1 - rate) : 0.
//
// The mask is a pure function of (seed, step number, layer, element), so it is stored nowhere, and a
// batch cut into micro-batches has the same mask as a whole one. A quad takes one block of the
// generator: Philox-4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011).
// The includer has the dimensions dropout_layer, dropout_threshold (0 keeps all) and dropout_scale. It
// draws masks in a loop over images, since a generator an image would be much code to compile, and
// keeps them as four bits an image.
fn multiply_high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let middle = a1 * b0 + ((a0 * b0) >> 16u);
    let carry = (middle & 0xffffu) + a0 * b1;
    return a1 * b1 + (middle >> 16u) + (carry >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>, rounds: u32) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < rounds; round++) {
        let high_0 = multiply_high(0xD2511F53u, c.x);
        let high_1 = multiply_high(0xCD9E8D57u, c.z);
        c = vec4<u32>(high_1 ^ c.y ^ k.x, 0xCD9E8D57u * c.z, high_0 ^ c.w ^ k.y, 0xD2511F53u * c.x);
        k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// Of `images`, how many need a mask: none at a rate of 0. As far as drivers know this differs by
// invocation, which keeps them from compiling the kernel again for each value.
fn masks_of(images: u32, invocation: u32) -> u32 {
    return select(images, 0u, (dims.dropout_threshold == 0u) | (invocation == 0xffffffffu));
}

// Rounds of the generator: 10, which drivers would unroll, did they know it.
fn rounds_of(invocation: u32) -> u32 {
    return select(10u, 0u, invocation == 0xffffffffu);
}

// Which values of a quad are dropped, as the lowest four bits; quads are numbered from the first of
// the micro-batch.
fn dropped(quad: u32, quads: u32, rounds: u32) -> u32 {
    let element = step.image_base * quads + quad;
    let counter = vec4<u32>(element, 0u, step.number, dims.dropout_layer);
    let random = philox(counter, vec2<u32>(step.seed, 0u), rounds);
    let bits = select(
        vec4<u32>(), vec4<u32>(1u, 2u, 4u, 8u), random < vec4<u32>(dims.dropout_threshold)
    );
    return bits.x | bits.y | bits.z | bits.w;
}

// A quad after dropout, of which bits 4 place and on tell what is dropped.
fn with_dropout(value: vec4<f32>, dropped: u32, place: u32) -> vec4<f32> {
    let bits = vec4<u32>(dropped) & (vec4<u32>(1u, 2u, 4u, 8u) << vec4<u32>(4u * place));
    return select(vec4<f32>(), value * dims.dropout_scale, bits == vec4<u32>());
}
