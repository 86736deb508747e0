// The matrices of Winograd's minimal filtering F(2x2, 3x3) and F(4x4, 3x3), and sums over their rows.
// To be imported: nothing of this reaches a shader but what the macros write.
// Source: Lavin and Gray, arXiv:1509.09308, sections 4.1 and 4.3.
//
// By the tile's outputs on a side. B^T transforms the input, and A^T gives the outputs back; the adjoint
// for a gradient of filters transforms outputs by A, and gives filters back by G^T.
//@ set B2 = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
//@ set B4_0 = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
//@ set B4_3 = [[0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
//@ set B_T = {2: B2, 4: B4_0 + B4_3}
//@ set A2 = [[1, 0], [1, 1], [1, -1], [0, 1]]
//@ set A4 = [[1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [1, 2, 4, 8], [1, -2, 4, -8], [0, 0, 0, 1]]
//@ set A = {2: A2, 4: A4}
//@ set A2_T = [[1, 1, 1, 0], [0, 1, -1, 1]]
//@ set A4_T = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
//@ set A_T = {2: A2_T, 4: A4_T}
// G transforms filters.
//@ set G2 = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]
//@ set a = 1.0 / 6.0
//@ set b = 1.0 / 24.0
//@ set G4_0 = [[0.25, 0.0, 0.0], [-a, -a, -a], [-a, a, -a]]
//@ set G4_3 = [[b, 2.0 * b, 4.0 * b], [b, -2.0 * b, 4.0 * b], [0.0, 0.0, 1.0]]
//@ set G = {2: G2, 4: G4_0 + G4_3}
//
// The sum of factor * BEFORE INDEX AFTER over a row, zeros left out; indices count from `first`.
//@ macro combine(row, before, after="", first=0)
//@ set given = namespace(first=true)
//@ for factor in row
//@ if factor != 0
//@ set sign = ("-" if factor < 0 else "") if given.first else (" - " if factor < 0 else " + ")
//@ set given.first = false
${sign}${"" if factor | abs == 1 else (factor | abs) ~ ".0 * "}${before}${first + loop.index0}${after}
//@ endif
//@ endfor
//@ endmacro
//
// Row `which`, known at run time, of a matrix: the factors NAME_0, NAME_1, ...
//@ macro row_of(matrix, which, name)
//@ for column in range(matrix[0] | length)
    var ${name}_${column} = ${matrix[0][column]}.0;
    //@ for row in range(1, matrix | length)
    //@ if matrix[row][column] != matrix[0][column]
    ${name}_${column} = select(${name}_${column}, ${matrix[row][column]}.0, ${which} == ${row}u);
    //@ endif
    //@ endfor
//@ endfor
//@ endmacro
