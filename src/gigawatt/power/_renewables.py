"""Power of a solar field and of a wind farm from hourly weather, per W of rating. Arrays (T); K, Pa, m/s, W/m2; angles in radians
inside, in degrees where a name says so.

    sun's position ─▶ plane of array (Hay-Davies) ─▶ cell temperature (Faiman) ─▶ DC and AC (PVWatts)      pv_power
    wind at hub, air density ─▶ cubic to the rating of the NREL 5-MW reference turbine                     wind_power

Constants with sources in data/renewables.csv. Positive power is production.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.evidence import Sourced

Array: TypeAlias = NDArray[np.float64]
KELVIN = 273.15
# Physical constants: solar constant W/m2, gas constant of dry air J/kg/K, density at 15 C and sea level kg/m3.
SOLAR_CONSTANT, DRY_AIR, STANDARD_DENSITY = 1_361.0, 287.05, 1.225


@dataclass(frozen=True, slots=True, kw_only=True)
class SolarField:
    """Where panels stand and how they look: `tracking` turns them about a level north-south axis (no backtracking), else they
    are fixed at `tilt_deg` towards `azimuth_deg` (180 is south).
    """

    latitude_deg: float
    longitude_deg: float
    tilt_deg: float = 25.0
    azimuth_deg: float = 180.0
    tracking: bool = True


@cache
def renewable_facts() -> Mapping[str, Sourced]:
    """Return the numbers of data/renewables.csv by key ("pv.system_loss")."""
    return MappingProxyType(sourced_table("gigawatt.power", "data/renewables.csv"))


def sun_position(
    start: datetime, steps: int, step_s: float, latitude_deg: float, longitude_deg: float
) -> tuple[Array, Array]:
    """Return zenith and azimuth (from north, clockwise) of the sun at the middle of each step, radians.

    Low-precision formulas of the Astronomical Almanac (Michalsky, Solar Energy 40 (1988) 227), 0.01 degrees for 1950 to 2050, without
    refraction. 20 June 2023 at noon UTC, Greenwich (51.48 N): zenith 28.0 degrees. Raises ValueError for a start
    without a time zone.
    """
    if start.utcoffset() is None:
        raise ValueError(f"a start needs its time zone, not {start}")
    noon_2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
    first = (start.astimezone(UTC) - noon_2000).total_seconds()
    days = (first + step_s * (np.arange(steps) + 0.5)) / 86_400.0
    mean_longitude = np.radians((280.460 + 0.9856474 * days) % 360.0)
    anomaly = np.radians((357.528 + 0.9856003 * days) % 360.0)
    ecliptic = mean_longitude + np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    sidereal = np.radians((280.46062 + 360.98564737 * days + longitude_deg) % 360.0)
    hour = sidereal - ascension
    phi = np.radians(latitude_deg)
    cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour)
    return np.arccos(np.clip(cosine, -1.0, 1.0)), np.arctan2(east, north) % (2 * np.pi)


def plane_of_array(
    ghi: Array, dni: Array, dhi: Array, zenith: Array, azimuth: Array, field: SolarField, extraterrestrial: Array
) -> Array:
    """Return the irradiance on the panels, W/m2: beam, sky and ground.

    Sky after Hay and Davies (1980): the share DNI/extraterrestrial of the diffuse light comes from the sun's direction, the
    rest evenly. Ground after Liu and Jordan (1963).
    """
    up = np.cos(zenith)
    if field.tracking:
        limit = np.radians(renewable_facts()["pv.tracker_limit_deg"].best)
        across = np.sin(zenith) * np.sin(azimuth)  # towards the east
        turn = np.clip(np.arctan2(across, up), -limit, limit)
        incidence = across * np.sin(turn) + up * np.cos(turn)
        tilt = np.abs(turn)
    else:
        tilt = np.full_like(zenith, np.radians(field.tilt_deg))
        facing = np.cos(azimuth - np.radians(field.azimuth_deg))
        incidence = up * np.cos(tilt) + np.sin(zenith) * np.sin(tilt) * facing
    day = up > np.cos(np.radians(89.0))
    incidence = np.where(day, np.maximum(incidence, 0.0), 0.0)
    clear = dni / extraterrestrial
    around = incidence / np.maximum(up, np.cos(np.radians(85.0)))
    sky = dhi * (clear * around + (1.0 - clear) * (1.0 + np.cos(tilt)) / 2.0)
    ground = ghi * renewable_facts()["pv.albedo"].best * (1.0 - np.cos(tilt)) / 2.0
    return np.asarray(np.where(day, dni * incidence + sky + ground, 0.0))


def pv_power(
    ghi: Array,
    dni: Array,
    dhi: Array,
    ambient_k: Array,
    wind_m_per_s: Array,
    field: SolarField,
    start: datetime,
    step_s: float = 3_600.0,
) -> Array:
    """Return the AC power (T) per W of inverter rating, 0 to 1, from irradiance W/m2, air K and wind m/s at the panels.

    cell = T + G/(u0 + u1*v) (Faiman 2008); DC = G/1000*(1 + c*(cell - 25 C))*(1 - losses); AC = min(efficiency*DC*dc_per_ac, 1)
    (PVWatts 5). `start` is the beginning of the first step; the sun is taken at the middle of each.
    """
    facts = {key.partition(".")[2]: fact.best for key, fact in renewable_facts().items() if key.startswith("pv.")}
    zenith, azimuth = sun_position(start, len(ghi), step_s, field.latitude_deg, field.longitude_deg)
    day_angle = 2 * np.pi * (start.timetuple().tm_yday - 1 + (np.arange(len(ghi)) + 0.5) * step_s / 86_400.0) / 365.25
    beyond_air = SOLAR_CONSTANT * (1.0 + 0.033 * np.cos(day_angle))
    light = plane_of_array(ghi, dni, dhi, zenith, azimuth, field, beyond_air)
    cell = ambient_k + light / (facts["faiman_u0"] + facts["faiman_u1"] * wind_m_per_s)
    dc = light / 1_000.0 * (1.0 + facts["temperature_coefficient"] * (cell - KELVIN - 25.0))
    ac = facts["inverter_efficiency"] * (1.0 - facts["system_loss"]) * facts["dc_per_ac"] * dc
    return np.asarray(np.clip(ac, 0.0, 1.0))


def wind_power(
    wind_m_per_s: Array,
    ambient_k: Array | float,
    pressure_pa: Array | float,
    specific_power_w_per_m2: float | None = None,
) -> Array:
    """Return the power (T) of a wind farm per W of rating, 0 to 1 less plant losses, from wind, air and pressure at the
    hub.

    min(rho/2*Cp*eta*v^3/specific, 1) between cut-in and cut-out, else 0; rho = p/(R*T). NREL 5-MW reference turbine at 8 m/s in
    standard air: 0.356 before plant losses. Raises ValueError for wind below 0.
    """
    if np.any(~(np.asarray(wind_m_per_s) >= 0)):
        raise ValueError("wind speeds cannot be below 0")
    facts = {key.partition(".")[2]: fact.best for key, fact in renewable_facts().items() if key.startswith("wind.")}
    specific = facts["specific_power_w_per_m2"] if specific_power_w_per_m2 is None else specific_power_w_per_m2
    density = pressure_pa / (DRY_AIR * np.asarray(ambient_k, dtype=np.float64))
    rotor = 0.5 * density * facts["power_coefficient"] * facts["drive_efficiency"] * np.asarray(wind_m_per_s) ** 3
    running = (wind_m_per_s >= facts["cut_in"]) & (wind_m_per_s < facts["cut_out"])
    return np.asarray(np.where(running, np.minimum(rotor / specific, 1.0), 0.0) * (1.0 - facts["plant_loss"]))


def wind_at_height(wind_m_per_s: Array, from_m: float, to_m: float) -> Array:
    """Return v*(to/from)^a with the exponent of data/renewables.csv (one seventh). 8 m/s at 80 m: 4.7 m/s at 2 m."""
    return np.asarray(wind_m_per_s * (to_m / from_m) ** renewable_facts()["wind.shear_exponent"].best)
