// A matrix product in tiles of workgroup memory, for GPUs: out[i, j] = sum over t of a[i, t] * b[t, j].
//
// A workgroup of 128 computes TILE x 32 outputs, an invocation 8x4. Where that takes fewer than 128
// invocations, several slices of them share the steps t of a stage, and their sums are added in a
// fixed order at the end. A stage is DEPTH steps, brought in 4x4 blocks and stored so that both `a`
// and `b` are read as quads along i and j; the blocks of the next stage are on their way while one is
// computed.
// Workgroup memory: DEPTH * (TILE + 32) floats, 12 KiB at most.
// The includer sets `turn_a` and `turn_b` where quads lie along t in memory, and gives
//   a_from(i, t), b_from(t, j): where the four quads of a block begin, i, j and t in quads;
//   a_stride(), b_stride(): how far a stage is from the next;
//   a_last(), b_last(): the last quad there is;
//   a_quad(at, i), b_quad(at): a quad, for steps past the last any finite one.
// Method: blocking of registers as in Volkov and Demmel, "Benchmarking GPUs to Tune Dense Linear
// Algebra", SC 2008.
//@ set slices = 128 // TILE
//@ set quads = TILE // 4
//@ set blocks_a = DEPTH * TILE // 16
//@ set blocks_b = DEPTH * 2
//@ set fetches_a = (blocks_a + 127) // 128
//@ set fetches_b = (blocks_b + 127) // 128
//@ set begin_b = DEPTH * quads
//@ include "common/panel_rows.wgsl"

var<workgroup> tile: array<vec4<f32>, ${begin_b + DEPTH * 8}>; // a: (DEPTH, quads), b: (DEPTH, 8)

struct Block {
    rows: array<vec4<f32>, 4>, // along t
}

struct Sums {
    rows: array<vec4<f32>, 8>, // along i: see `row_of`
}

fn turned(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> Block {
    let m = transpose(mat4x4<f32>(a, b, c, d));
    return Block(array<vec4<f32>, 4>(m[0], m[1], m[2], m[3]));
}

fn fetch_a(start: vec4<u32>, i: u32) -> Block {
    let at = min(start, vec4<u32>(a_last()));
    //@ if turn_a
    return turned(a_quad(at.x, i), a_quad(at.y, i), a_quad(at.z, i), a_quad(at.w, i));
    //@ else
    return Block(array<vec4<f32>, 4>(a_quad(at.x, i), a_quad(at.y, i), a_quad(at.z, i), a_quad(at.w, i)));
    //@ endif
}

fn fetch_b(start: vec4<u32>) -> Block {
    let at = min(start, vec4<u32>(b_last()));
    //@ if turn_b
    return turned(b_quad(at.x), b_quad(at.y), b_quad(at.z), b_quad(at.w));
    //@ else
    return Block(array<vec4<f32>, 4>(b_quad(at.x), b_quad(at.y), b_quad(at.z), b_quad(at.w)));
    //@ endif
}

// Row m of an invocation's sums, counted from the first row of the tile.
fn row_of(invocation: u32, m: u32) -> u32 {
    return m / 4u * ${TILE // 2}u + invocation / 8u % ${TILE // 8}u * 4u + m % 4u;
}

// The tile at row 4 i0 and column 4 j0. Only the sums of the first TILE invocations are whole.
fn product(i0: u32, j0: u32, steps: u32, invocation: u32) -> Sums {
    // Blocks of `b` are brought from the last invocation down, so that where there are few blocks
    // those who bring none of `a` bring them.
    let other = 127u - invocation;
    //@ for l in range(fetches_a)
    let block_a_${l} = invocation + ${128 * l}u;
    let i_${l} = i0 + block_a_${l} % ${quads}u;
    var from_a_${l} = a_from(i_${l}, block_a_${l} / ${quads}u);
    var a_${l} = Block();
    if block_a_${l} < ${blocks_a}u {
        a_${l} = fetch_a(from_a_${l}, i_${l});
    }
    //@ endfor
    //@ for l in range(fetches_b)
    let block_b_${l} = other + ${128 * l}u;
    var from_b_${l} = b_from(block_b_${l} / 8u, j0 + block_b_${l} % 8u);
    var b_${l} = Block();
    if block_b_${l} < ${blocks_b}u {
        b_${l} = fetch_b(from_b_${l});
    }
    //@ endfor
    let i = invocation / 8u % ${TILE // 8}u;
    let j = ${begin_b}u + invocation % 8u;
    let slice = invocation / TILE * ${DEPTH // slices}u;
    //@ for m in range(8)
    var sum_${m} = vec4<f32>();
    //@ endfor
    for (var first = 0u; first < steps; first += DEPTH) {
        //@ for l in range(fetches_a)
        if block_a_${l} < ${blocks_a}u {
            let t = block_a_${l} / ${quads}u * 4u;
            let at = t * ${quads}u + block_a_${l} % ${quads}u;
            //@ for r in range(4)
            let inside_${r} = first + t + ${r}u < steps;
            tile[at + ${r * quads}u] = select(vec4<f32>(), a_${l}.rows[${r}], inside_${r});
            //@ endfor
        }
        //@ endfor
        //@ for l in range(fetches_b)
        if block_b_${l} < ${blocks_b}u {
            let at = ${begin_b}u + block_b_${l} / 8u * 32u + block_b_${l} % 8u;
            //@ for r in range(4)
            tile[at + ${r * 8}u] = b_${l}.rows[${r}];
            //@ endfor
        }
        //@ endfor
        workgroupBarrier();
        //@ for l in range(fetches_a)
        from_a_${l} += vec4<u32>(a_stride());
        if block_a_${l} < ${blocks_a}u {
            a_${l} = fetch_a(from_a_${l}, i_${l});
        }
        //@ endfor
        //@ for l in range(fetches_b)
        from_b_${l} += vec4<u32>(b_stride());
        if block_b_${l} < ${blocks_b}u {
            b_${l} = fetch_b(from_b_${l});
        }
        //@ endfor
        for (var t = slice; t < slice + ${DEPTH // slices}u; t += 4u) {
            //@ for u in range(4)
            {
                let a_0 = tile[(t + ${u}u) * ${quads}u + i];
                let a_1 = tile[(t + ${u}u) * ${quads}u + i + ${quads // 2}u];
                let b = tile[(t + ${u}u) * 8u + j];
                //@ for m in range(8)
                sum_${m} = fma(vec4<f32>(a_${m // 4}[${m % 4}]), b, sum_${m});
                //@ endfor
            }
            //@ endfor
        }
        workgroupBarrier();
    }
    //@ if slices > 1
    //@ for half in range(2)
    //@ for m in range(4)
    tile[invocation + ${128 * m}u] = sum_${4 * half + m};
    //@ endfor
    workgroupBarrier();
    if invocation < TILE {
        //@ for m in range(4)
        //@ for slice in range(1, slices)
        sum_${4 * half + m} += tile[invocation + ${128 * m + slice * TILE}u];
        //@ endfor
        //@ endfor
    }
    workgroupBarrier();
    //@ endfor
    //@ endif
    return Sums(array<vec4<f32>, 8>(sum_0, sum_1, sum_2, sum_3, sum_4, sum_5, sum_6, sum_7));
}
