; SPDX-License-Identifier: MIT
;
; words.smt2 - the axioms of conversions.h and shifts.h, proved on bit vectors: z3 answers "unsat"
; to each, since it is wrong for no x. A conversion to an unsigned type of n bits keeps the low n
; bits.

(define-const TWO_32 (_ BitVec 64) #x0000000100000000)
(declare-const x (_ BitVec 64))
(declare-const k (_ BitVec 64))

(push) ; to_32
(assert (not (= ((_ zero_extend 32) ((_ extract 31 0) x)) (bvurem x TWO_32))))
(check-sat)
(pop)
(push) ; to_8
(assert (not (= ((_ zero_extend 56) ((_ extract 7 0) x)) (bvurem x #x0000000000000100))))
(check-sat)
(pop)
(push) ; to_8_below: -2^8 <= x < 0
(assert (bvsge x #xFFFFFFFFFFFFFF00))
(assert (bvslt x #x0000000000000000))
(assert (not (= ((_ zero_extend 56) ((_ extract 7 0) x)) (bvadd x #x0000000000000100))))
(check-sat)
(pop)
(push) ; to_32_below: -2^32 <= x < 0
(assert (bvsge x (bvneg TWO_32)))
(assert (bvslt x #x0000000000000000))
(assert (not (= ((_ zero_extend 32) ((_ extract 31 0) x)) (bvadd x TWO_32))))
(check-sat)
(pop)
(push) ; to_32_above, to_32_times_8: they follow from to_32
(assert (not (=> (and (bvuge x TWO_32) (bvult x (bvadd TWO_32 TWO_32)))
                 (= (bvurem x TWO_32) (bvsub x TWO_32)))))
(check-sat)
(pop)
(define-const SEVEN (_ BitVec 64) (bvmul TWO_32 #x0000000000000007))
(push)
(assert (not (=> (and (bvuge x SEVEN) (bvult x (bvadd SEVEN TWO_32)))
                 (= (bvurem x TWO_32) (bvsub x SEVEN)))))
(check-sat)
(pop)
(define-const TWO_64 (_ BitVec 68) #x10000000000000000)
(declare-const y (_ BitVec 68))
(push) ; to_64_below: -2^64 <= y < 0
(assert (bvsge y (bvneg TWO_64)))
(assert (bvslt y #x00000000000000000))
(assert (not (= ((_ zero_extend 4) ((_ extract 63 0) y)) (bvadd y TWO_64))))
(check-sat)
(pop)
(push) ; to_64_above: 2^64 <= y < 2^65
(assert (bvuge y TWO_64))
(assert (bvult y (bvadd TWO_64 TWO_64)))
(assert (not (= ((_ zero_extend 4) ((_ extract 63 0) y)) (bvsub y TWO_64))))
(check-sat)
(pop)
(push) ; right_5, right_32
(assert (not (and (= (bvlshr x #x0000000000000005) (bvudiv x #x0000000000000020))
                  (= (bvlshr x #x0000000000000020) (bvudiv x TWO_32)))))
(check-sat)
(pop)
; right and left, for each k: 4 <= k <= 12
(define-fun is_right ((n (_ BitVec 64)) (power (_ BitVec 64))) Bool
  (and (= (bvlshr x n) (bvudiv x power)) (= (bvshl x n) (bvmul x power))))
(push)
(assert (not (and
  (is_right #x0000000000000004 #x0000000000000010)
  (is_right #x0000000000000005 #x0000000000000020)
  (is_right #x0000000000000006 #x0000000000000040)
  (is_right #x0000000000000007 #x0000000000000080)
  (is_right #x0000000000000008 #x0000000000000100)
  (is_right #x0000000000000009 #x0000000000000200)
  (is_right #x000000000000000A #x0000000000000400)
  (is_right #x000000000000000B #x0000000000000800)
  (is_right #x000000000000000C #x0000000000001000))))
(check-sat)
(pop)
(push) ; left_32: x < 2^32
(assert (bvult x TWO_32))
(assert (not (= (bvshl x #x0000000000000020) (bvmul x TWO_32))))
(check-sat)
(pop)
(push) ; and_not_31
(assert (not (= (bvand x (bvneg #x0000000000000020)) (bvsub x (bvurem x #x0000000000000020)))))
(check-sat)
(pop)
(push) ; or_disjoint: x < 2^32, k < 2^32
(assert (bvult x TWO_32))
(assert (bvult k TWO_32))
(assert (not (= (bvor (bvshl x #x0000000000000020) k) (bvadd (bvmul x TWO_32) k))))
(check-sat)
(pop)
(push) ; or_3: x < 16
(assert (bvult x #x0000000000000010))
(assert (not (= (bvor x #x0000000000000003)
                (bvadd (bvsub x (bvurem x #x0000000000000004)) #x0000000000000003))))
(check-sat)
(pop)
(push) ; xor_31: x < 32
(assert (bvult x #x0000000000000020))
(assert (not (= (bvxor #x000000000000001F x) (bvsub #x000000000000001F x))))
(check-sat)
(pop)
