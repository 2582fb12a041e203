package schemas

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// powers of ten that a double holds exactly.
var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// exactBelow is what numbers of fifteen digits lie below: no two of them are one double, and the shortest text of a double that one of them is nearest to is that number.
const exactBelow = 1e15

// decimalValue returns an Avro decimal, two's complement and big-endian, as exactDecimal has it. False when no double is near.
func decimalValue(unscaled []byte, scale int) (Value, bool) {
	if len(unscaled) > 16 {
		return decimalSlow(bigInt(unscaled), scale)
	}
	negative, hi, lo := magnitude(unscaled)
	hi, lo, digits := withoutZeros(hi, lo, scale)
	if hi != 0 || lo >= exactBelow || digits >= len(tens) {
		return decimalSlow(bigInt(unscaled), scale)
	}
	f := float64(lo) / tens[digits] // both are exact in a double, so that this rounds once
	if negative {
		f = -f
	}
	return FloatValue(f), true
}

// magnitude takes a two's complement number of at most 16 bytes apart.
func magnitude(unscaled []byte) (negative bool, hi, lo uint64) {
	if len(unscaled) > 0 && unscaled[0] >= 0x80 {
		negative, hi, lo = true, math.MaxUint64, math.MaxUint64
	}
	for _, b := range unscaled {
		hi, lo = hi<<8|lo>>56, lo<<8|uint64(b)
	}
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return negative, hi, lo
}

// withoutZeros takes the zeros off the end of a decimal: an amount has two or three digits after the point, whatever the scale.
func withoutZeros(hi, lo uint64, scale int) (uint64, uint64, int) {
	if hi == 0 && lo == 0 {
		return 0, 0, 0
	}
	for _, step := range [...]int{16, 8, 4, 2, 1} {
		for scale >= step {
			by := uint64(tens[step])
			low, rest := bits.Div64(hi%by, lo, by)
			if rest != 0 {
				break
			}
			hi, lo, scale = hi/by, low, scale-step
		}
	}
	return hi, lo, scale
}

func decimalSlow(unscaled *big.Int, scale int) (Value, bool) {
	literal := unscaled.String() + "e-" + strconv.Itoa(scale)
	f, err := strconv.ParseFloat(literal, 64)
	return exactDecimal(f, literal), err == nil
}

// exactDecimal returns the double f, which is the one nearest to a decimal literal. Where the literal is not the number that f's shortest text names, the Value carries
// the literal's own, so that the digest tells apart what features do not.
func exactDecimal(f float64, literal string) Value {
	v := FloatValue(f)
	if len(literal) <= 15 {
		return v // see exactBelow
	}
	if exact := plainDecimal(literal); exact != plainDecimal(strconv.FormatFloat(f, 'e', -1, 64)) {
		v.str = exact
	}
	return v
}

// plainDecimal returns the one way in which a decimal number is written here: its digits without zeros at either end, and an exponent.
func plainDecimal(literal string) string {
	sign, rest := "", literal
	if after, negative := strings.CutPrefix(literal, "-"); negative {
		sign, rest = "-", after
	}
	exponent := 0
	if at := strings.IndexAny(rest, "eE"); at >= 0 {
		exponent, _ = strconv.Atoi(rest[at+1:]) // it was read as a double, which bounds it but for 0
		rest = rest[:at]
	}
	whole, fraction, _ := strings.Cut(rest, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0e0"
	}
	short := strings.TrimRight(digits, "0")
	return sign + short + "e" + strconv.Itoa(exponent-len(fraction)+len(digits)-len(short))
}

func bigInt(unscaled []byte) *big.Int {
	i := new(big.Int).SetBytes(unscaled)
	if unscaled[0] >= 0x80 {
		i.Sub(i, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
	}
	return i
}

// decimalDigits says whether an unscaled decimal has at most precision digits.
func decimalDigits(unscaled []byte, precision int) bool {
	if len(unscaled) == 0 || precision >= 3*len(unscaled) { // a byte is fewer than 2.41 digits
		return true
	}
	digits := bigInt(unscaled).String()
	return len(strings.TrimPrefix(digits, "-")) <= precision
}

// decimalFits says whether a decimal number, as JSON writes it, has at most scale digits after the point and precision−scale before it.
// Zeros at either end do not count, so 75.8100 fits a scale of 2. It is false for what is not a number.
func decimalFits(literal string, precision, scale int) bool {
	rest := strings.TrimPrefix(literal, "-")
	if point := strings.IndexByte(rest, '.'); point > 0 && point <= precision-scale && len(rest)-point-1 <= scale && strings.IndexByte(rest, 'e') < 0 && strings.IndexByte(rest, 'E') < 0 {
		return true // as nearly every amount is written
	}
	exponent := 0
	if at := strings.IndexAny(rest, "eE"); at >= 0 {
		e, err := strconv.Atoi(rest[at+1:])
		if err != nil || e > 10000 || e < -10000 {
			return false
		}
		exponent, rest = e, rest[:at]
	}
	whole, fraction, _ := strings.Cut(rest, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	point := len(whole) + exponent // where the point lies in digits
	leading := len(digits) - len(strings.TrimLeft(digits, "0"))
	if digits == "" || leading == len(digits) {
		return true
	}
	return len(digits)-point <= scale && point-leading <= precision-scale
}

// isDecimal says whether a string is a decimal number as JSON writes one.
func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	if strings.HasPrefix(s, "0") && len(s) > 1 && s[1] >= '0' && s[1] <= '9' {
		return false
	}
	if !digits() {
		return false
	}
	if strings.HasPrefix(s, ".") {
		if s = s[1:]; !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		return digits() && s == ""
	}
	return s == ""
}
