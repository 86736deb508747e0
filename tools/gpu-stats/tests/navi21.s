BB0:
	s_mov_b32 s0, s3                                            ; be800303
	s_movk_i32 s1, 0x8000                                       ; b0018000
	s_load_dwordx4 s[12:15], s[0:1], null                       ; f4080300 fa000000
	s_cbranch_scc0 BB93                                         ; bf8403df
BB2:
	s_cmp_ge_u32 s22, s10                                       ; bf090a16
	s_cbranch_scc1 BB26                                         ; bf8501bf
BB5:
	s_mov_b64 s[18:19], exec                                    ; be92047e
BB6:
	v_cmp_lt_u32_e32 vcc, 0x63, v37                             ; 7d824aff 00000063
	s_andn2_b64 exec, exec, vcc                                 ; 8a9e7e6a
	s_cbranch_execz BB15                                        ; bf880026
BB14:
	buffer_load_dwordx4 v[48:51], v44, s[4:7], 0 offen          ; e0381000 8001302c
	s_waitcnt vmcnt(0)                                          ; bf8c3f70
	ds_write_b128 v45, v[48:51]                                 ; db7c0000 0000302d
	s_branch BB6                                                ; bf82ffd5
BB15:
	s_mov_b64 exec, s[18:19]                                    ; befe0412
	s_barrier                                                   ; bf8a0000
BB16:
	ds_read_b32 v38, v37                                        ; d8d80000 26000025
	ds_read_b128 v[48:51], v44 offset:1600                      ; dbfc0640 3000002c
	s_waitcnt lgkmcnt(0)                                        ; bf8cc07f
	v_fmac_f32_e32 v28, v38, v48                                ; 56386126
	v_fmac_f32_e32 v27, v38, v49                                ; 56366326
	v_fmac_f32_e32 v26, v38, v50                                ; 56346526
	v_fma_f32 v25, v38, v51, v25                                ; d54b0019 04666726
	s_cmp_lt_u32 s23, s24                                       ; bf0a1817
	s_cbranch_scc1 BB16                                         ; bf85ffe0
BB25:
	s_branch BB2                                                ; bf82fe3f
BB26:
	v_fma_f32 v28, v38, v48, v28                                ; d54b001c 04726126
BB93:
	s_endpgm                                                    ; bf810000
