package expr

import (
	"math"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"verdict/schemas"
)

// The calls that names are rewritten into. A user cannot write their names.
const (
	callField   = "@field"        // (slot) any kind
	callNumber  = "@field_number" // (slot)
	callBool    = "@field_bool"   // (slot)
	callString  = "@field_string" // (slot)
	callKey     = "@field_key"    // (slot) the field as text, see keyOf
	callFeature = "@feature"      // (place)
	callScore   = "@score"        // (0)
	callFraud   = "@fraud"        // (0)
	callInList  = "@in_list"      // (key, which list)
	callTime    = "@timestamp"    // (t)
	callMod     = "@mod"          // (a, b)
)

// errMissing stands for a missing value inside CEL. Its node id is not 0, so that CEL, which labels errors in place, leaves this shared one alone.
var errMissing = types.NewErrWithNodeID(1, "missing").(*types.Err)

// These stand for a value that is there, and that nothing can be computed of: a number knows no difference to a missing one, a condition does.
var (
	errKind    = types.NewErrWithNodeID(1, "a value of another kind").(*types.Err)
	errTooLong = types.NewErrWithNodeID(1, "longer than a value may become").(*types.Err)
)

// language returns CEL with what this package adds. It is built once: it never changes, and building it takes longer than compiling an expression.
var language = sync.OnceValues(func() (*cel.Env, error) {
	num, text, dyn, truth := cel.DoubleType, cel.StringType, cel.DynType, cel.BoolType
	return cel.NewEnv(
		cel.EnableMacroCallTracking(),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserExpressionSizeLimit(MaxText),
		cel.DefaultUTCTimeZone(true),

		cel.Function(callField, cel.Overload("field", []*cel.Type{num}, dyn)),
		cel.Function(callNumber, cel.Overload("field_number", []*cel.Type{num}, num)),
		cel.Function(callBool, cel.Overload("field_bool", []*cel.Type{num}, truth)),
		cel.Function(callString, cel.Overload("field_string", []*cel.Type{num}, text)),
		cel.Function(callKey, cel.Overload("field_key", []*cel.Type{num}, text)),
		cel.Function(callFeature, cel.Overload("feature", []*cel.Type{num}, num)),
		cel.Function(callScore, cel.Overload("score", []*cel.Type{num}, num)),
		cel.Function(callFraud, cel.Overload("fraud", []*cel.Type{num}, truth)),
		cel.Function(callInList, cel.Overload("in_list", []*cel.Type{dyn, num}, truth)),
		cel.Function(callTime, cel.Overload("timestamp_any", []*cel.Type{dyn}, cel.TimestampType, cel.UnaryBinding(toTimestamp))),
		cel.Function(callMod, cel.Overload("mod_number", []*cel.Type{num, num}, num, cel.BinaryBinding(number2(math.Mod)))),

		cel.Function("hour", cel.Overload("hour_any", []*cel.Type{dyn}, num, cel.UnaryBinding(hour))),
		cel.Function("weekday", cel.Overload("weekday_any", []*cel.Type{dyn}, num, cel.UnaryBinding(weekday))),
		cel.Function("missing", cel.Overload("missing_any", []*cel.Type{dyn}, truth, cel.OverloadIsNonStrict(), cel.UnaryBinding(isMissing))),
		cel.Function("abs", cel.Overload("abs_number", []*cel.Type{num}, num, cel.UnaryBinding(number1(math.Abs)))),
		cel.Function("log", cel.Overload("log_number", []*cel.Type{num}, num, cel.UnaryBinding(number1(math.Log)))),
		cel.Function("log1p", cel.Overload("log1p_number", []*cel.Type{num}, num, cel.UnaryBinding(number1(math.Log1p)))),
		cel.Function("sqrt", cel.Overload("sqrt_number", []*cel.Type{num}, num, cel.UnaryBinding(number1(math.Sqrt)))),
		// Of more than two they are rewritten into calls of two.
		cel.Function("min", cel.Overload("min_number", []*cel.Type{num, num}, num, cel.BinaryBinding(number2(math.Min)))),
		cel.Function("max", cel.Overload("max_number", []*cel.Type{num, num}, num, cel.BinaryBinding(number2(math.Max)))),
		cel.Function("distance_km", cel.Overload("distance_km_numbers", []*cel.Type{num, num, num, num}, num, cel.FunctionBinding(distanceKm))),
	)
})

// callable are the functions that an expression may name; the operators apart. What CEL has beyond them (bytes, types, uint) has no use on orders.
func callable() []string {
	return []string{
		"abs", "contains", "distance_km", "double", "duration", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear",
		"getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "hour", "int", "list", "log", "log1p", "matches", "max", "min", "missing",
		"size", "sqrt", "startsWith", "string", "timestamp", "weekday",
	}
}

// givesInt says whether CEL's function of that name returns an integer, which is then made a double.
func givesInt(function string) bool {
	switch function {
	case "size", "int", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds":
		return true
	default:
		return false
	}
}

// numeral returns f as CEL's value, missing where it is no number.
func numeral(f float64) ref.Val {
	if f != f || math.IsInf(f, 0) {
		return errMissing
	}
	return types.Double(f)
}

func number1(f func(float64) float64) func(ref.Val) ref.Val {
	return func(v ref.Val) ref.Val {
		x, ok := v.(types.Double)
		if !ok {
			return errKind
		}
		return numeral(f(float64(x)))
	}
}

func number2(f func(float64, float64) float64) func(ref.Val, ref.Val) ref.Val {
	return func(v, w ref.Val) ref.Val {
		x, ok1 := v.(types.Double)
		y, ok2 := w.(types.Double)
		if !ok1 || !ok2 {
			return errKind
		}
		return numeral(f(float64(x), float64(y)))
	}
}

// maxTime is more than an RFC 3339 time with nanoseconds has, in bytes.
const maxTime = 64

// timeOf reads a time in any of the forms that an order's may have.
func timeOf(v ref.Val) (time.Time, bool) {
	var in schemas.Value
	switch v := v.(type) {
	case types.Timestamp:
		return v.Time.UTC(), true
	case types.String:
		if len(v) > maxTime { // an error text would quote all of it
			return time.Time{}, false
		}
		in = schemas.StringValue(string(v))
	case types.Double:
		in = schemas.FloatValue(float64(v))
	}
	t, err := schemas.ParseTime(in)
	return t, err == nil
}

func toTimestamp(v ref.Val) ref.Val {
	t, ok := timeOf(v)
	if !ok {
		return errMissing
	}
	return types.Timestamp{Time: t}
}

func hour(v ref.Val) ref.Val {
	t, ok := timeOf(v)
	if !ok {
		return errMissing
	}
	return types.Double(t.Hour())
}

func weekday(v ref.Val) ref.Val {
	t, ok := timeOf(v)
	if !ok {
		return errMissing
	}
	return types.Double((t.Weekday() + 6) % 7)
}

func isMissing(v ref.Val) ref.Val {
	return types.Bool(types.IsUnknownOrError(v) || v == types.NullValue)
}

// earthRadiusKm is the mean radius of the WGS 84 ellipsoid (2a + b)/3, rounded as the IUGG gives it.
const earthRadiusKm = 6371.0088

func distanceKm(args ...ref.Val) ref.Val {
	var deg [4]float64
	for i, a := range args {
		d, ok := a.(types.Double)
		if !ok {
			return errKind
		}
		deg[i] = float64(d)
	}
	return numeral(greatCircleKm(deg))
}

// greatCircleKm is the distance by the haversine formula, on a sphere: off the ellipsoid's by up to 0.5 %. It is NaN where one of the two (latitude, longitude) is no place on Earth.
func greatCircleKm(deg [4]float64) float64 {
	if math.Abs(deg[0]) > 90 || math.Abs(deg[2]) > 90 || math.Abs(deg[1]) > 360 || math.Abs(deg[3]) > 360 {
		return math.NaN()
	}
	lat1, lat2 := deg[0]*math.Pi/180, deg[2]*math.Pi/180
	sinLat := math.Sin((lat2 - lat1) / 2)
	sinLon := math.Sin((deg[3] - deg[1]) * math.Pi / 180 / 2)
	h := sinLat*sinLat + math.Cos(lat1)*math.Cos(lat2)*sinLon*sinLon
	return 2 * earthRadiusKm * math.Asin(math.Sqrt(min(1, h)))
}
