    // The window's inputs in_(row)_(column), each a sum over PICTURE_ROWS x PICTURE_COLUMNS pixels of
    // the stored image, at least as many as the windows of this shape touch. Along an axis pixel p has
    // the weight max(0, 1 - |position - p|), counted in parts of 1 / (2 to): whole numbers, as in
    // resize_bilinear. So a pixel is loaded once for all inputs, and no lane decides which it needs.
    //@ macro weights(axis, inputs, first, count, size, from, to, source)
    //@ for i in range(inputs)
    let ${axis}_at_${i} = source_place(${first} + ${i}u, ${size}, ${from}, ${to}, ${source});
    let ${axis}_inside_${i} = ${first} + ${i}u - 1u < ${size}; // before the first it wraps
    //@ endfor
    let ${axis}_parts = f32(2u * ${to});
    let ${axis}_first = ${axis}_at_0 / (2u * ${to});
    //@ for i in range(inputs)
    let ${axis}_rest_${i} = f32(${axis}_at_${i} - ${axis}_first * (2u * ${to}));
    //@ for p in range(count)
    let ${axis}_weight_${i}_${p} =
        max(${axis}_parts - abs(${axis}_rest_${i} - ${p}.0 * ${axis}_parts), 0.0);
    //@ endfor
    //@ endfor
    //@ endmacro
    ${weights("y", rows, "top", PICTURE_ROWS, "d.height", "d.from_height", "d.to_height",
        "d.source_height")}
    ${weights("x", SIDE, "left", PICTURE_COLUMNS, "d.width", "d.from_width", "d.to_width",
        "d.source_width")}
    //@ set bytes = PICTURE_COLUMNS * CHANNELS
    //@ set words = (bytes + 6) // 4
    let first_row = min(order[step.sample_base + image], d.count - 1u) * d.source_height;
    //@ for r in range(PICTURE_ROWS)
    // A row's bytes, shifted so that the first is the lowest; weights of those past its end are 0.
    let row_${r} = first_row + min(y_first + ${r}u, d.source_height - 1u);
    let byte_${r} = (row_${r} * d.source_width + x_first) * CHANNELS;
    let shift_${r} = byte_${r} % 4u * 8u;
    //@ for w in range(words)
    let word_${r}_${w} = pixels[min(byte_${r} / 4u + ${w}u, d.last_word)];
    //@ endfor
    //@ for w in range((bytes + 3) // 4)
    let bytes_${r}_${w} = (word_${r}_${w} >> shift_${r})
    //@ if w + 1 < words
        | ((word_${r}_${w + 1} << 1u) << (31u - shift_${r}))
    //@ endif
        ;
    //@ endfor
    //@ for b in range(bytes)
    let pixel_${r}_${b} = f32((bytes_${r}_${b // 4} >> ${b % 4 * 8}u) & 255u);
    //@ endfor
    //@ for s in range(SIDE)
    //@ for c in range(CHANNELS)
    let across_${r}_${s}_${c} =
        //@ for p in range(PICTURE_COLUMNS)
        ${"" if loop.first else "+"} x_weight_${s}_${p} * pixel_${r}_${p * CHANNELS + c}
        //@ endfor
        ;
    //@ endfor
    //@ endfor
    //@ endfor
    //@ for j in range(rows)
    //@ for s in range(SIDE)
    //@ for c in range(CHANNELS)
    let sum_of_${j}_${s}_${c} =
        //@ for r in range(PICTURE_ROWS)
        ${"" if loop.first else "+"} y_weight_${j}_${r} * across_${r}_${s}_${c}
        //@ endfor
        ;
    //@ endfor
    let in_${j}_${s} = select(
        vec4<f32>(),
        vec4<f32>(
            //@ for c in range(4)
            ${"fma(sum_of_" ~ j ~ "_" ~ s ~ "_" ~ c ~ ", d.factor_" ~ c ~ ", d.shift_" ~ c ~ ")"
                if c < CHANNELS else "0.0"},
            //@ endfor
        ),
        y_inside_${j} && x_inside_${s},
    );
    //@ endfor
    //@ endfor
