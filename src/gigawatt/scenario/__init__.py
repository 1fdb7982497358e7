"""The question: a YAML file with units, checked at the door. Past it everything is an SI float or a typed frozen
object.
"""

from gigawatt.scenario._build_fields import (
    BuildSection,
    BuildSiteItem,
    ChipItem,
    FundItem,
    OrderItem,
    TaskItem,
    UnitItem,
)
from gigawatt.scenario._fields import (
    AcceleratorItem,
    FinanceSection,
    FleetSection,
    GeneratorItem,
    NetworkSection,
    PowerSection,
    ReliabilitySection,
    ScenarioFields,
    SiteSection,
    StrategySection,
    TrainingSection,
)
from gigawatt.scenario._load import Scenario, Setting, load_scenario, scenario_from_mapping, scenario_schema
from gigawatt.scenario._serving_fields import (
    ImageItem,
    LayoutItem,
    LengthItem,
    OffloadItem,
    PricesItem,
    ServingSection,
    TrafficItem,
)

__all__ = [
    "AcceleratorItem",
    "BuildSection",
    "BuildSiteItem",
    "ChipItem",
    "FinanceSection",
    "FleetSection",
    "FundItem",
    "GeneratorItem",
    "ImageItem",
    "LayoutItem",
    "LengthItem",
    "NetworkSection",
    "OffloadItem",
    "OrderItem",
    "PowerSection",
    "PricesItem",
    "ReliabilitySection",
    "Scenario",
    "ScenarioFields",
    "ServingSection",
    "Setting",
    "SiteSection",
    "StrategySection",
    "TaskItem",
    "TrafficItem",
    "TrainingSection",
    "UnitItem",
    "load_scenario",
    "scenario_from_mapping",
    "scenario_schema",
]
