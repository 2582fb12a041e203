package expr

import "verdict/schemas"

// secondsOfText returns the whole second since 1970 in which the time of an RFC 3339 text lies: that of schemas.ParseTime, which reads whatever does not
// have the common form.
func secondsOfText(s string) (int64, bool) {
	if len(s) > maxTime {
		return 0, false
	}
	if sec, ok := commonSeconds(s); ok {
		return sec, true
	}
	t, err := schemas.ParseTime(schemas.StringValue(s))
	return t.Unix(), err == nil
}

// commonSeconds reads 2006-01-02T15:04:05Z, with a fraction or an offset too. It is right or says that it does not know; it knows no time near the
// ends of what schemas.ParseTime takes, so that an offset does not lead past one.
func commonSeconds(s string) (int64, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	year, ok1 := digits2(s[0:2])
	years, ok2 := digits2(s[2:4])
	month, ok3 := digits2(s[5:7])
	day, ok4 := digits2(s[8:10])
	hour, ok5 := digits2(s[11:13])
	minute, ok6 := digits2(s[14:16])
	second, ok7 := digits2(s[17:19])
	year = 100*year + years
	offset, ok8 := offsetSeconds(s[19:])
	digits := ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8
	if !digits || year <= 1970 || year >= 2199 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return daySeconds*daysSince1970(year, month, day) + 3600*hour + 60*minute + second - offset, true
}

// offsetSeconds reads what stands behind the seconds: a fraction, which it passes over, and Z or an offset.
func offsetSeconds(s string) (int64, bool) {
	if s[0] == '.' {
		n := 1
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		if n == 1 {
			return 0, false
		}
		s = s[n:]
	}
	if s == "Z" {
		return 0, true
	}
	if len(s) != len("+07:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	hours, ok1 := digits2(s[1:3])
	minutes, ok2 := digits2(s[4:6])
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	if s[0] == '-' {
		return -3600*hours - 60*minutes, true
	}
	return 3600*hours + 60*minutes, true
}

func digits2(s string) (int64, bool) {
	tens, ones := s[0]-'0', s[1]-'0'
	return 10*int64(tens) + int64(ones), tens <= 9 && ones <= 9
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// daysSince1970 counts years from March, so that the leap day is the last of its year and the months before it have lengths of one pattern.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	const before = 719468 // what the sum below gives for 1970-01-01
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - before
}
